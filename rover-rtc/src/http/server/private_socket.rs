//! The private socket between the guard and `tiny_http`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to the private socket.
pub(super) type Pipe = Box<dyn PipeStream>;

/// What a pipe can do.
pub(super) trait PipeStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PipeStream for T {}

/// Where the private socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    #[cfg(unix)]
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    /// Opens a private socket: in `dir`, or on a port of the loopback address without one.
    pub(super) fn listen(dir: Option<&PrivateDir>) -> io::Result<(tiny_http::Listener, Self)> {
        #[cfg(unix)]
        if let Some(dir) = dir {
            // A new name each time: the socket of an ended server leaves its file behind.
            let path = dir.path.join(random_hex::<4>()?);
            let listener = std::os::unix::net::UnixListener::bind(&path)?;
            return Ok((listener.into(), Self::Unix(path)));
        }
        #[cfg(not(unix))]
        let _ = dir;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok((listener.into(), Self::Tcp(address)))
    }

    pub(super) async fn connect(&self) -> io::Result<Pipe> {
        Ok(match self {
            #[cfg(unix)]
            Self::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            Self::Tcp(address) => Box::new(tokio::net::TcpStream::connect(address).await?),
        })
    }
}

/// Fails unless the process may open `count` more descriptors right now. Where the limit is not
/// one of descriptors (Windows), this is no question.
pub(super) fn check_descriptors(count: usize) -> io::Result<()> {
    if cfg!(unix) {
        (0..count).map(|_| std::fs::File::open("/dev/null")).collect::<io::Result<Vec<_>>>()?;
    }
    Ok(())
}

/// A directory nobody else can enter; removed on drop.
#[derive(Debug)]
pub(super) struct PrivateDir {
    #[cfg_attr(not(unix), allow(dead_code))]
    path: PathBuf,
}

impl PrivateDir {
    /// `None` where there are no Unix sockets, or no place to put one.
    pub(super) fn create() -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;

            let name = format!("rover-rtc-{}", random_hex::<8>().ok()?);
            let path = std::env::temp_dir().join(name);
            // Fails if it exists, so nobody can have prepared it.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) if path.as_os_str().len() <= MAX_DIR_LEN => return Some(Self { path }),
                Ok(()) => drop(Self { path }),
                Err(error) => tracing::debug!(%error, "no private directory"),
            }
            tracing::info!("no place for a private socket, using a port of 127.0.0.1 instead");
        }
        None
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove our directory");
        }
    }
}

/// `N` random bytes of the operating system as hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// macOS takes socket paths of up to 103 bytes, and a slash and a name are to come.
#[cfg(unix)]
const MAX_DIR_LEN: usize = 90;
