//! Where a server listens, as a URL with nothing but scheme, host and port, and where clients see the gateway, which may
//! have a path. Pure; resolves no name.

use std::{fmt, str::FromStr};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// `http://host:port` or `https://host:port`: what a cluster's `url` holds.
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

/// Where clients see a gateway: an [`Address`], and the path before everything that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    address: Address,
    prefix: String,
}

/// The text is no [`External`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be http://host or https://host, with a port or without, and maybe a path such as /trino without a slash at its end"
)]
pub struct InvalidExternal;

impl External {
    /// Scheme, host and port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        self.address.scheme()
    }

    /// The host; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// The port, the scheme's own when none was given.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The path, such as `/trino`: empty, or with a slash in front and none at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for External {
    type Err = InvalidExternal;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let authority = url.find("://").map(|at| at + 3).ok_or(InvalidExternal)?;
        let path = url[authority..].find('/').map_or(url.len(), |at| authority + at);
        let (address, prefix) = url.split_at(path);
        // Trino joins the prefix with its own paths as it is, so nothing is let in that a server may read differently.
        let plain = |segment: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !segment.is_empty() && segment.bytes().all(legal) && segment != "." && segment != ".."
        };
        if !prefix.is_empty() && !prefix[1..].split('/').all(plain) {
            return Err(InvalidExternal);
        }
        let address = address.parse().map_err(|InvalidAddress| InvalidExternal)?;
        Ok(Self { address, prefix: prefix.to_owned() })
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

    #[test]
    fn a_gateway_may_be_seen_below_a_path() {
        let seen = |url: &str| {
            url.parse::<External>().map(|external| (external.host().to_owned(), external.port(), external.prefix))
        };
        assert_eq!(seen("https://a"), Ok(("a".to_owned(), 443, String::new())));
        assert_eq!(seen("http://a:8080/trino"), Ok(("a".to_owned(), 8080, "/trino".to_owned())));
        assert_eq!(seen("https://[::1]:1/x/y.z"), Ok(("[::1]".to_owned(), 1, "/x/y.z".to_owned())));
        for url in [
            "",
            "a/b",
            "https://a/",
            "https://a/b/",
            "https://a//b",
            "https://a/../b",
            "https://a/b?c",
            "https://a/b#c",
            "https://a/%2e",
            "https://u@a/b",
            "ftp://a/b",
            "https:///b",
            "https://a/b;c",
            "https://a/./b",
            "https://a/b c",
        ] {
            assert_eq!(seen(url), Err(InvalidExternal), "{url}");
        }
    }
}
