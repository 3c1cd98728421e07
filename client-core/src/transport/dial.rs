//! Trying a hub's addresses until one answers.
//!
//! Two levels use the same race: the addresses of the ticket, and the socket addresses behind one name. A new attempt
//! begins when the last one has been alone for [`ATTEMPT_GAP`], or as soon as one failed; the first to succeed ends the
//! others.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use qianmo_protocol::handshake::Address;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig};
use quinn_proto::RandomConnectionIdGenerator;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::transport::{ATTEMPT_GAP, ConnectError, RESOLVED_MAX};

/// Under this name address tokens are kept. It never travels: server names are off.
const SERVER_NAME: &str = "qianmo";

/// A connection, the endpoint that carries it, and the address that answered.
pub(crate) struct Dialed {
    pub(crate) connection: Connection,
    pub(crate) endpoint: Endpoint,
    pub(crate) address: Address,
}

pub(crate) async fn dial(
    config: &ClientConfig,
    local: SocketAddr,
    addresses: &[Address],
    within: Duration,
) -> Result<Dialed, ConnectError> {
    let attempts = addresses.to_vec();
    let config = config.clone();
    let racing = race(attempts, move |address| resolve_and_dial(config.clone(), local, address, within));
    match timeout(within, racing).await {
        Ok(dialed) => dialed,
        Err(_late) => Err(ConnectError::TimedOut { within }),
    }
}

async fn resolve_and_dial(
    config: ClientConfig,
    local: SocketAddr,
    address: Address,
    within: Duration,
) -> Result<Dialed, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: address.to_string(), source };
    let resolved = tokio::net::lookup_host(address.as_str()).await.map_err(unreachable)?;
    let resolved: Vec<SocketAddr> = resolved.take(RESOLVED_MAX).collect();
    if resolved.is_empty() {
        return Err(unreachable(io::Error::from(io::ErrorKind::NotFound)));
    }
    race(resolved, move |remote| dial_one(config.clone(), local, remote, address.clone(), within)).await
}

async fn dial_one(
    config: ClientConfig,
    local: SocketAddr,
    remote: SocketAddr,
    address: Address,
    within: Duration,
) -> Result<Dialed, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: remote.to_string(), source };
    let endpoint = endpoint(local, remote).map_err(unreachable)?;
    let connecting = endpoint
        .connect_with(config, remote, SERVER_NAME)
        .map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    match connecting.await {
        Ok(connection) => Ok(Dialed { connection, endpoint, address }),
        Err(error) => Err(ConnectError::of_handshake(error, &remote.to_string(), within)),
    }
}

/// A fresh socket for one connection. Having it alone, the connection needs no identifier: the address is enough.
fn endpoint(local: SocketAddr, remote: SocketAddr) -> io::Result<Endpoint> {
    let local = match remote {
        SocketAddr::V4(_) if local.ip().is_unspecified() => (Ipv4Addr::UNSPECIFIED, local.port()).into(),
        SocketAddr::V6(_) if local.ip().is_unspecified() => (Ipv6Addr::UNSPECIFIED, local.port()).into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => local,
    };
    let socket = UdpSocket::bind(local)?;
    let runtime = quinn::default_runtime().ok_or_else(|| io::Error::other("not inside a tokio runtime"))?;
    let mut config = EndpointConfig::default();
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)));
    Endpoint::new(config, None, socket, runtime)
}

/// Tries the items one after the other, the next whenever the last failed or had its time alone.
async fn race<I, T, F>(items: Vec<I>, attempt: impl Fn(I) -> F) -> Result<T, ConnectError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ConnectError>> + Send + 'static,
{
    let mut worst = ConnectError::NoAddress;
    let mut waiting = items.into_iter();
    let mut running = JoinSet::new();
    loop {
        match waiting.next() {
            Some(item) => {
                running.spawn(attempt(item));
            }
            None if running.is_empty() => return Err(worst),
            None => {}
        }
        let alone_until = Instant::now() + ATTEMPT_GAP;
        tokio::select! {
            Some(ended) = running.join_next() => match ended {
                Ok(Ok(winner)) => return Ok(winner),
                Ok(Err(error)) if error.weight() >= worst.weight() => worst = error,
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "a connection attempt panicked"),
            },
            () = sleep_until(alone_until), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_address_does_not_hold_up_the_next() {
        let began = Instant::now();
        let won = race(vec![600, 0], |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        });
        assert_eq!(won.await.unwrap(), 0);
        assert!(began.elapsed() >= ATTEMPT_GAP, "the first address had no time alone");
    }

    #[tokio::test]
    async fn failed_address_is_followed_and_the_error_that_says_most_is_kept() {
        let lost = race(vec![0, 1, 2], |item| async move {
            Err::<(), _>(match item {
                0 => ConnectError::TimedOut { within: Duration::ZERO },
                1 => ConnectError::WrongOrganisation,
                _ => ConnectError::Unreachable { address: String::new(), source: io::ErrorKind::NotFound.into() },
            })
        });
        assert!(matches!(lost.await, Err(ConnectError::WrongOrganisation)));
        assert!(matches!(race(Vec::<u8>::new(), |_| async { Ok(()) }).await, Err(ConnectError::NoAddress)));
    }
}
