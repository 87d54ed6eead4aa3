//! `warren probe`: asks a URL once. Warren's image holds no shell and no curl, and `helm test` must ask something.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::Failure;

const DEADLINE: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 64 * 1024;

/// Asks a URL once, prints the answer, and succeeds when its status is 200.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to ask, for example http://warren:8080/readyz.
    url: Uri,
}

/// Asks.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    runtime.block_on(ask(arguments.url)).map_err(Failure::Runtime)
}

async fn ask(url: Uri) -> anyhow::Result<()> {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(DEADLINE, client.get(url.clone())).await;
    let answer = answer.context("no answer in time")?.with_context(|| format!("cannot ask {url}"))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect();
    let body = tokio::time::timeout(DEADLINE, body).await.context("the answer did not end in time")?;
    let body = body.map_err(|error| anyhow::anyhow!("cannot read the answer: {error}"))?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body).trim_end());
    anyhow::ensure!(status == http::StatusCode::OK, "{url} answered {status}");
    Ok(())
}
