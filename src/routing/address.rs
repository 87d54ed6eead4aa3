//! Where a server listens, as a URL with nothing but scheme, host and port. Pure; resolves no name.

use std::{fmt, str::FromStr};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// `http://host:port` or `https://host:port`: what a cluster's `url` and the gateway's `externalUrl` hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    authority: Authority,
}

/// The text is no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port or https://host:port, without a path")]
pub struct InvalidAddress;

impl Address {
    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and, if one was given, port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port, the scheme's own when none was given.
    pub fn port(&self) -> u16 {
        let default = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let uri = url.parse::<Uri>().map_err(|_| InvalidAddress)?;
        let bare = uri.path() == "/" && uri.query().is_none() && !url.contains('#');
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(InvalidAddress) };
        let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let plain_host = !authority.as_str().contains('@') && !authority.host().is_empty();
        let plain_port = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
        if bare && known && plain_host && plain_port { Ok(Self { scheme, authority }) } else { Err(InvalidAddress) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_and_a_host_and_nothing_more() {
        for url in ["http://a", "http://a:8080", "https://[::1]:8443/", "http://10.0.0.1:80"] {
            assert!(url.parse::<Address>().is_ok(), "{url}");
        }
        for url in
            ["", "a:8080", "ftp://a", "http://user@a", "http://a/b", "http://a?x", "http://", "http://a#b", "http://a:"]
        {
            assert!(url.parse::<Address>().is_err(), "{url}");
        }
    }

    #[test]
    fn a_port_left_out_is_the_schemes_own() {
        let port = |url: &str| url.parse::<Address>().unwrap().port();
        assert_eq!([port("http://a"), port("https://a"), port("https://a:8443")], [80, 443, 8443]);
    }
}
