//! What one request's way through the proxy needs besides the request itself.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Uri};

use super::{
    Error, Settings,
    fleet::Fleet,
    observe::Observation,
    outside::{Arrival, Outside, client_of},
};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub settings: &'a Settings,
    pub fleet: &'a Fleet,
    pub arrival: &'a Arrival,
    /// What is asked for.
    pub uri: &'a Uri,
    /// What clients see of the gateway.
    pub outside: Arc<Outside>,
    /// The client, as far as the proxies in between can be believed.
    pub client: IpAddr,
    /// What coordinators are told of the way that the request came.
    pub forwarded_for: HeaderValue,
    pub observation: &'a mut Observation,
}

impl<'a> Ask<'a> {
    /// A request with this URI and these headers, of which nothing was changed yet.
    ///
    /// # Errors
    /// When it is for no valid host, or for one that the table does not allow.
    pub(super) fn new(
        settings: &'a Settings,
        fleet: &'a Fleet,
        arrival: &'a Arrival,
        (uri, headers): (&'a Uri, &HeaderMap),
        observation: &'a mut Observation,
    ) -> Result<Self, Error> {
        let trusts = |address| fleet.router.trusts(address);
        let peer = arrival.peer.ip().to_canonical();
        let (client, forwarded_for) = client_of(headers, arrival, trusts);
        let outside = match &fleet.outside {
            Some(outside) => outside.clone(),
            None if trusts(peer) => {
                Outside::seen_by(uri, headers, arrival, true).map(Arc::new).ok_or(Error::BadHost)?
            }
            None => Outside::seen_again(uri, headers, arrival).ok_or(Error::BadHost)?,
        };
        if fleet.outside.is_none() && !fleet.router.allows_host(outside.host()) {
            return Err(Error::BadHost);
        }
        Ok(Self { settings, fleet, arrival, uri, outside, client, forwarded_for, observation })
    }
}
