//! `warren proxy --config`: the binary itself, with a file.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{Empty, Full};

use crate::{
    coordinator::Coordinator,
    gateway::{body, json, send},
};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("warren-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        // Whoever follows it never sees half of it.
        std::fs::write(self.0.join("new"), text).unwrap();
        std::fs::rename(self.0.join("new"), &path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn warren(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command
        .env_remove("WARREN_LOG")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .args(arguments)
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    command
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until the last one is known: no two of them are the same.
    [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).map(|held| held.local_addr().unwrap().port())
}

#[tokio::test]
async fn the_binary_serves_reloads_keeps_the_last_good_table_and_ends_on_sigterm() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let directory = Directory::new("standalone");
    let [client, admin, bi] = free_ports();
    let yaml = |name: &str, url: String| {
        format!(
            "listen: {{client: '127.0.0.1:{client}', admin: '127.0.0.1:{admin}'}}\n\
             listeners: [{{name: bi, address: '127.0.0.1:{bi}', source: superset}}]\n\
             groups: [{{name: adhoc, clusters: [{{name: {name}, url: '{url}'}}]}}]\n\
             routing:\n  rules: [{{name: no-bi, when: query.source == 'superset', reject: {{message: Not here.}}}}]\n  \
             default: {{group: adhoc}}\n"
        )
    };
    let file = directory.write("warren.yaml", &yaml("blue", blue.url()));
    directory.write("admin-token", "s3cret");
    let mut child = warren(&["proxy", "--drain-delay", "0s", "--log-format", "json", "--config"])
        .arg(&file)
        .arg("--credentials-dir")
        .arg(&directory.0)
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut running = Running(child);
    let (lines, mut log_lines) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line))));
    let mut said = async |text: &str| loop {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), log_lines.recv()).await.unwrap().unwrap();
        if line.contains(text) {
            return line;
        }
    };
    let post_at = |port: u16| {
        let statement = Full::new(Bytes::from_static(b"SELECT 'hidden'"));
        let request = Request::post("/v1/statement?secret=1").header("host", "a").header("x-trino-user", "alice");
        send(([127, 0, 0, 1], port).into(), request.body(statement).unwrap())
    };
    let post = || post_at(client);
    let admin = |path: &str| {
        let request = Request::get(path).header("host", "a").header("authorization", "Bearer s3cret");
        send(([127, 0, 0, 1], admin).into(), request.body(Empty::<Bytes>::new()).unwrap())
    };

    said("the cluster is healthy").await;
    // A cluster may be found healthy before all threads serve.
    let ready = async {
        while admin("/readyz").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), ready).await.unwrap();
    assert_eq!(json(post().await).await["from"], "blue");
    let line = said("\"kind\":\"statement\"").await;
    assert!(line.contains("\"user\":\"alice\"") && line.contains("\"cluster\":\"blue\""), "{line}");
    assert!(!line.contains("hidden") && !line.contains("secret"), "{line}");
    assert_eq!(json(admin("/v1/status").await).await["clusters"][0]["health"], "healthy");
    let refused = json(post_at(bi).await).await["error"]["message"].to_string();
    assert!(refused.contains("Not here."), "{refused}");

    directory.write("warren.yaml", "groups: []\nroutng: {}\n");
    let line = said("a routing table is refused").await;
    assert!(line.contains("unknown field `routng`"), "{line}");
    assert_eq!(json(post().await).await["from"], "blue");
    assert!(body(admin("/metrics").await).await.contains("warren_proxy_routing_tables_refused_total 1\n"));

    directory.write("warren.yaml", &yaml("green", green.url()));
    said("the cluster is healthy").await;
    assert_eq!(json(post().await).await["from"], "green");

    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    said("\"message\":\"done\"").await;
    assert!(running.0.wait().unwrap().success());
    reader.join().unwrap();
}

#[test]
fn a_wrong_file_or_argument_is_told_with_its_place_and_ends_with_2() {
    let directory = Directory::new("usage");
    let unknown_key = directory.write("key.yaml", "groups:\n- name: adhoc\n  clustrs: []\n");
    let example = directory.write("good.yaml", "listen: {client: '127.0.0.1:0', admin: '127.0.0.1:0'}\ngroups: []\n");
    let unknown_group = directory.write("group.yaml", "groups: []\nrouting: {default: {group: etl}}\n");
    let run = |arguments: &[&str]| {
        let output = warren(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (arguments, parts) in [
        (vec!["proxy", "--config", unknown_key.to_str().unwrap()], ["key.yaml: ", "unknown field `clustrs`", "line 3"]),
        (
            vec!["proxy", "--config", unknown_group.to_str().unwrap()],
            ["group.yaml: ", "routing.default.group", "there is no group \"etl\""],
        ),
        (vec!["proxy", "--config", "/nowhere.yaml"], ["warren: ", "/nowhere.yaml: it cannot be read", "No such file"]),
        (vec!["proxy"], ["--config", "--routing-config-map", "required"]),
        (vec!["proxy", "--config", "x", "--drain-delay", "5"], ["--drain-delay", "is no duration", "5s or 2m"]),
        (
            vec!["proxy", "--config", example.to_str().unwrap(), "--otlp-endpoint", "collector:4318"],
            ["warren: ", "--otlp-endpoint must be", "http://host:port"],
        ),
        (vec!["proxy", "--config", "x", "--trace-ratio", "5%"], ["--trace-ratio", "is no share", "such as 0.05"]),
        (vec!["proxy", "--config", "x", "--log", "a=b=c"], ["log filter", "a=b=c", "info"]),
    ] {
        let (code, error) = run(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: {error:?} holds no {part:?}");
        }
    }
}
