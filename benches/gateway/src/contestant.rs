//! Who is measured: nginx, HAProxy, Warren, and nobody (the coordinator itself). Each with the configuration that
//! somebody would give it who wants it fast and knows it well, and with its access log in a file.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    client::{self, Client},
    process::{self, Process},
    script::Script,
};

/// The core of the proxy that is measured, and that of everything else.
pub const CORES: (usize, usize) = (0, 1);

/// How long a proxy may take until it serves.
const START: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Nginx,
    Haproxy,
    Warren,
    Direct,
}

impl Kind {
    /// Those that are proxies.
    pub const PROXIES: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Warren];
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Warren, Self::Direct];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Warren => "Warren",
            Self::Direct => "direct",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What of the others' configurations can be had otherwise. The defaults are what was fastest for them.
#[derive(Clone, Copy, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Tuning {
    /// Let nginx collect pages before it passes them on.
    #[arg(long)]
    nginx_buffering: bool,
    /// What nginx reads an answer with, in KiB.
    #[arg(long, default_value_t = 40)]
    nginx_buffer: u32,
    /// Leave nginx the buffers that it has by default.
    #[arg(long, conflicts_with_all = ["nginx_buffering", "nginx_buffer"])]
    nginx_own_buffers: bool,
    /// Let nginx gather the lines of its access log, as Warren does; by default it writes each.
    #[arg(long)]
    nginx_gathers_log: bool,
    /// Let HAProxy move bodies within the kernel.
    #[arg(long)]
    haproxy_splicing: bool,
    /// What HAProxy reads with, in KiB.
    #[arg(long, default_value_t = 64)]
    haproxy_buffer: u32,
}

/// Where the programs are, and what all of them are told.
#[derive(Clone, Debug)]
pub struct Stable {
    pub nginx: PathBuf,
    pub haproxy: PathBuf,
    pub warren: PathBuf,
    pub tuning: Tuning,
    pub coordinator: SocketAddr,
    /// Where configurations and logs go; a folder for each.
    pub folder: PathBuf,
}

/// Why one does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} cannot be written")]
    File(PathBuf, #[source] io::Error),
    #[error("no port is free")]
    Port(#[source] io::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("{0} ended before it served; its log is in {1}")]
    Ended(Kind, PathBuf),
    #[error("{0} did not serve in time; its log is in {1}")]
    Late(Kind, PathBuf, #[source] client::Error),
    #[error("{0} is no process of its own")]
    NoProcess(Kind),
}

/// One that runs.
#[derive(Debug)]
pub struct Contestant {
    pub kind: Kind,
    pub address: SocketAddr,
    /// None is the coordinator itself.
    pub process: Option<Process>,
    log: PathBuf,
}

impl Stable {
    /// Starts one, and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(&self, kind: Kind) -> Result<Contestant, Error> {
        let mut contestant = self.launch(kind)?;
        contestant.served(START).await?;
        Ok(contestant)
    }

    /// Starts one and does not wait.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn launch(&self, kind: Kind) -> Result<Contestant, Error> {
        let folder = self.folder.join(kind.name().to_lowercase());
        let log = folder.join("log");
        if kind == Kind::Direct {
            return Ok(Contestant { kind, address: self.coordinator, process: None, log });
        }
        fs::create_dir_all(&folder).map_err(|error| Error::File(folder.clone(), error))?;
        let (address, admin) = (free_address()?, free_address()?);
        let configuration = folder.join(if kind == Kind::Warren { "warren.yaml" } else { "proxy.conf" });
        let text = match kind {
            Kind::Nginx => self.nginx_configuration(address, &folder),
            Kind::Haproxy => self.haproxy_configuration(address),
            Kind::Warren | Kind::Direct => self.warren_configuration(address, admin),
        };
        fs::write(&configuration, text).map_err(|error| Error::File(configuration.clone(), error))?;
        let command = self.command(kind, &folder, &configuration);
        let process = Process::start(command, &log, CORES)?;
        Ok(Contestant { kind, address, process: Some(process), log })
    }

    fn command(&self, kind: Kind, folder: &Path, configuration: &Path) -> Command {
        let mut command = Command::new(match kind {
            Kind::Nginx => &self.nginx,
            Kind::Haproxy => &self.haproxy,
            Kind::Warren | Kind::Direct => &self.warren,
        });
        match kind {
            Kind::Nginx => command.arg("-p").arg(folder).arg("-e").arg(folder.join("log")).arg("-c").arg(configuration),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(configuration),
            Kind::Warren | Kind::Direct => {
                command.args(["proxy", "--drain-delay", "0s", "--config"]).arg(configuration)
            }
        };
        command
    }

    fn nginx_configuration(&self, address: SocketAddr, folder: &Path) -> String {
        let (folder, coordinator) = (folder.display(), self.coordinator);
        let (buffering, size) = (if self.tuning.nginx_buffering { "on" } else { "off" }, self.tuning.nginx_buffer);
        // Should it collect pages, all of one fits, and nothing goes to a disk.
        let count = (2048 / size.max(1)).max(4);
        let busy = size * count / 2;
        let gathers = if self.tuning.nginx_gathers_log { " buffer=64k flush=200ms" } else { "" };
        let chosen = format!(
            "proxy_buffering {buffering}; proxy_buffer_size {size}k; proxy_buffers {count} {size}k; \
             proxy_busy_buffers_size {busy}k; proxy_max_temp_file_size 0;"
        );
        let buffers = if self.tuning.nginx_own_buffers { "" } else { &chosen };
        // Without its own limits of 1000 requests, nginx would close connections in the middle of a round.
        format!(
            "daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 8192; }}
http {{
  access_log {folder}/access.log combined{gathers};
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
  tcp_nodelay on; keepalive_timeout 300s; keepalive_requests 1000000000;
  large_client_header_buffers 8 256k;
  upstream coordinator {{
    server {coordinator};
    keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s;
  }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://coordinator;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http;
      proxy_read_timeout 120s;
      {buffers}
    }}
  }}
}}
"
        )
    }

    fn haproxy_configuration(&self, address: SocketAddr) -> String {
        let coordinator = self.coordinator;
        let buffer = u64::from(self.tuning.haproxy_buffer) * 1024;
        let splicing = if self.tuning.haproxy_splicing { "option splice-auto" } else { "" };
        format!(
            "global
  nbthread 1
  maxconn 4096
  tune.bufsize {buffer}
  log stdout format raw daemon info
defaults
  mode http
  log global
  option httplog
  option forwardfor
  {splicing}
  http-reuse always
  timeout connect 3s
  timeout client 300s
  timeout server 120s
  timeout http-keep-alive 300s
frontend clients
  bind {address} backlog 4096
  http-request set-header X-Forwarded-Proto http
  default_backend coordinator
backend coordinator
  server coordinator {coordinator}
"
        )
    }

    fn warren_configuration(&self, address: SocketAddr, admin: SocketAddr) -> String {
        let coordinator = self.coordinator;
        format!(
            "listen: {{client: \"{address}\", admin: \"{admin}\"}}
groups:
- name: bench
  strategy: RoundRobin
  clusters:
  - {{name: bench, url: \"http://{coordinator}\"}}
routing:
  default: {{group: bench}}
"
        )
    }
}

impl Contestant {
    /// Waits until a query is served; returns how long that took.
    ///
    /// # Errors
    /// When it is not within `patience`.
    pub async fn served(&mut self, patience: Duration) -> Result<Duration, Error> {
        let begun = Instant::now();
        let statement = Script::default().statement();
        loop {
            let asked = async { Client::connect(self.address, 0).await?.submit(&statement).await };
            let Err(error) = asked.await else { return Ok(begun.elapsed()) };
            if self.process.as_mut().is_some_and(Process::has_ended) {
                return Err(Error::Ended(self.kind, self.log.clone()));
            }
            if begun.elapsed() > patience {
                return Err(Error::Late(self.kind, self.log.clone(), error));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// An address that nobody listens on now.
fn free_address() -> Result<SocketAddr, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).map_err(Error::Port)
}
