//! A connection as its client sees it, over a pipe in memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    task::JoinHandle,
};

use super::*;

type Pieces = futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Cause>>>;
type Answer = Response<
    Either<http_body_util::combinators::MapErr<Full<Bytes>, fn(std::convert::Infallible) -> Cause>, StreamBody<Pieces>>,
>;

fn whole(text: impl Into<Bytes>) -> Answer {
    Response::new(Either::Left(Full::from(text.into()).map_err(|never| match never {})))
}

fn streamed(frames: Vec<Frame<Bytes>>) -> Answer {
    let frames: Vec<Result<_, Cause>> = frames.into_iter().map(Ok).collect();
    Response::new(Either::Right(StreamBody::new(futures::stream::iter(frames))))
}

fn limits() -> Limits {
    Limits { head: (4096, 32), patience: Duration::from_secs(30) }
}

type Served = JoinHandle<Result<(), Fault>>;

/// A connection whose requests `handle` answers, the client's end of it, and what tells the server to close.
fn connect<F>(handle: impl Fn(ClientRequest) -> F + Send + Sync + 'static) -> (DuplexStream, Served, CancellationToken)
where
    F: Future<Output = Answer> + Send + 'static,
{
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let closing = CancellationToken::new();
    let token = closing.clone();
    let serving =
        async move { serve((near, BytesMut::new()), limits(), token, move |request| Box::pin(handle(request))).await };
    (far, tokio::spawn(serving), closing)
}

/// Answers with the method, the target, and the body of the request.
async fn echo(request: ClientRequest) -> Answer {
    let said = format!("{} {} ", request.method, request.uri);
    match request.body.collect().await {
        Ok(body) => whole([said.as_bytes(), &body.to_bytes()].concat()),
        Err(error) => {
            let mut answer = whole(error.to_string());
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            answer
        }
    }
}

/// All that is answered to `sent`, without dates.
async fn answered<F>(sent: &str, handle: impl Fn(ClientRequest) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Answer> + Send + 'static,
{
    let (mut far, serving, closing) = connect(handle);
    far.write_all(sent.as_bytes()).await.unwrap();
    let reading = async {
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let close = async {
        // All that it has to do is done once it waits for a clock, which stands still until then.
        tokio::time::sleep(Duration::from_millis(1)).await;
        closing.cancel();
    };
    let (answer, ()) = tokio::join!(reading, close);
    let _ = serving.await.unwrap();
    let lines = answer.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect()
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_one_after_the_other() {
    let sent = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n\
        Host: a\r\n\r\nPOST /4 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n\
        GET /5 HTTP/1.1\r\nConnection: close\r\n\r\nGET /6 HTTP/1.1\r\n\r\n";
    let answer =
        |body: &str, more: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len());
    let expected = ["GET /1 ", "POST /2 abc", "GET /3 ", "POST /4 abc"].map(|body| answer(body, ""));
    assert_eq!(answered(sent, echo).await, expected.concat() + &answer("GET /5 ", "connection: close\r\n"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_unknown_length_goes_in_chunks_with_trailers_for_who_takes_them() {
    let pieces = || vec![Frame::data("ab".into()), Frame::data(Bytes::new()), Frame::data(vec![b'x'; 5000].into())];
    let large = "x".repeat(5000);
    let stream = move |_| async move { streamed(pieces()) };
    assert_eq!(
        answered("GET / HTTP/1.1\r\n\r\n", stream).await,
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1388\r\n{large}\r\n0\r\n\r\n")
    );
    assert_eq!(
        answered("GET / HTTP/1.0\r\n\r\n", stream).await,
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab{large}")
    );
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
    let stream = move |_| {
        let frames = vec![Frame::data(vec![b'x'; 5000].into()), Frame::trailers(trailers.clone())];
        async move { streamed(frames) }
    };
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n";
    assert_eq!(
        answered("GET / HTTP/1.1\r\nTE: trailers\r\n\r\n", stream.clone()).await,
        format!("{head}{large}\r\n0\r\nx-sum: 1\r\n\r\n")
    );
    assert_eq!(answered("GET / HTTP/1.1\r\n\r\n", stream).await, format!("{head}{large}\r\n0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_keeps_what_it_says_of_one() {
    let says = |status: u16| {
        move |_| async move {
            let mut answer = whole("");
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            answer.headers_mut().insert("content-length", HeaderValue::from_static("7"));
            answer
        }
    };
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    assert_eq!(answered(head, says(200)).await, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    assert_eq!(answered(head, says(204)).await, "HTTP/1.1 204 No Content\r\n\r\n");
    let get = "GET / HTTP/1.1\r\n\r\n";
    assert_eq!(answered(get, says(304)).await, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
    assert_eq!(answered(get, says(200)).await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_whether_its_body_is_wanted_is_told() {
    let (mut far, _serving, _closing) = connect(echo);
    far.write_all(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await.unwrap();
    let mut told = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    far.read_exact(&mut told).await.unwrap();
    assert_eq!(told, b"HTTP/1.1 100 Continue\r\n\r\n");
    far.write_all(b"ab").await.unwrap();
    let mut status = [0; "HTTP/1.1 200 OK".len()];
    far.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_wait_for_the_body_ends_the_connection() {
    let refuse = |_| async { whole("no") };
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    for body in [
        "Content-Length: 9\r\n\r\nabc",
        "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "Transfer-Encoding: chunked\r\n\r\nno size\r\n",
    ] {
        assert_eq!(answered(&format!("POST / HTTP/1.1\r\n{body}"), refuse).await, last, "{body}");
    }
    // What is there already is passed over.
    let whole = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(answered(&whole.repeat(2), refuse).await, last.replace("connection: close\r\n", "").repeat(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_answered_and_ends_the_connection() {
    let answer = answered("GET / HTTP/1.1\r\nHost : a\r\n\r\nGET / HTTP/1.1\r\n\r\n", echo).await;
    assert_eq!(answer, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (mut far, serving, _closing) = connect(echo);
    far.write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n").await.unwrap();
    let mut answer = String::new();
    far.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    drop(far);
    let _ = serving.await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_request() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (mut far, serving, _closing) = connect(|_| async {
        let _ends = Ends;
        std::future::pending().await
    });
    far.write_all(b"GET / HTTP/1.1\r\n\r\nGET /next").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ENDED.load(Ordering::Relaxed), 0);
    drop(far);
    assert!(matches!(serving.await.unwrap(), Err(Fault::Gone)));
    assert_eq!(ENDED.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_request_also_while_nobody_reads_its_body() {
    let (mut far, serving, _closing) = connect(|request| async {
        drop(request);
        std::future::pending().await
    });
    far.write_all(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!serving.is_finished());
    drop(far);
    assert!(matches!(serving.await.unwrap(), Err(Fault::Gone)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_and_comes_before_the_answer_ends_no_connection() {
    let early = |request| async {
        drop(request);
        tokio::time::sleep(Duration::from_secs(2)).await;
        whole("no")
    };
    let late = |request| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(request);
        whole("no")
    };
    for (far, serving, closing) in [connect(early), connect(late)] {
        let (mut far, mut answer) = (far, String::new());
        for _ in 0..2 {
            far.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            far.write_all(b"abc").await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        closing.cancel();
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert!(serving.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_large_body_took_is_let_go_before_the_next_request_is_awaited() {
    let (near, mut far) = tokio::io::duplex(1024 * 1024);
    let io: Shared<_> = Arc::new(Mutex::new(Io::new(near, BytesMut::new())));
    lock(&io).begin(Framing::Length(100_000), false);
    far.write_all(&vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(RequestBody::new(&io).collect().await.unwrap().to_bytes().len(), 100_000);
    far.write_all(b"G").await.unwrap();
    assert_eq!(std::future::poll_fn(|cx| lock(&io).poll_fill(cx)).await.unwrap(), 1);
    let capacity = lock(&io).input.capacity();
    assert!(capacity <= 4096, "{capacity}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_further_request_is_closed_in_good_order() {
    let (mut far, serving, _closing) = connect(echo);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (begun, mut answer) = (Instant::now(), String::new());
    far.read_to_string(&mut answer).await.unwrap();
    assert_eq!((begun.elapsed().as_secs(), answer.ends_with("GET / ")), (30, true));
    assert!(serving.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_in_time_ends_the_connection_and_one_that_is_answered_slowly_does_not() {
    let (mut far, serving, _closing) = connect(|request| async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        echo(request).await
    });
    far.write_all(b"GET / HTTP/1.1\r\n\r\nGET").await.unwrap();
    let begun = Instant::now();
    assert!(matches!(serving.await.unwrap(), Err(Fault::Late)));
    assert_eq!(begun.elapsed().as_secs(), 130);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_ends_idle_connections_at_once_and_others_with_their_answer() {
    let (mut far, serving, closing) = connect(|request| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        echo(request).await
    });
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    closing.cancel();
    let mut answer = String::new();
    far.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("GET / "), "{answer}");
    assert!(serving.await.unwrap().is_ok());
    let (mut far, serving, closing) = connect(echo);
    tokio::time::sleep(Duration::from_secs(1)).await;
    closing.cancel();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert!(serving.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_fills_no_memory() {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let pieces = || {
        let pieces = std::iter::repeat_with(|| {
            TAKEN.fetch_add(1, Ordering::Relaxed);
            Ok(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])))
        });
        Response::new(StreamBody::new(futures::stream::iter(pieces.take(1000))))
    };
    let (near, mut far) = tokio::io::duplex(1024);
    let token = CancellationToken::new();
    let serving = async move {
        serve((near, BytesMut::new()), limits(), token, move |_| Box::pin(async move { pieces() })).await
    };
    let serving = tokio::spawn(serving);
    far.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(TAKEN.load(Ordering::Relaxed) <= 3, "{TAKEN:?}");
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > 1000 * 64 * 1024 && answer.ends_with(b"\r\n0\r\n\r\n"));
    assert!(serving.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_holds_back_is_written_before_the_next_request_is_awaited() {
    let (near, mut far) = tokio::io::duplex(16);
    // As TLS does when the other end takes nothing for a moment.
    let near = tokio::io::BufWriter::with_capacity(64 * 1024, near);
    let serving = async move {
        let handle = |_| Box::pin(async { whole(vec![b'x'; 5000]) });
        serve((near, BytesMut::new()), limits(), CancellationToken::new(), handle).await
    };
    let _serving = tokio::spawn(serving);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(&[b'x'; 5000]) {
            far.read_buf(&mut answer).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("all of the answer");
}

#[test]
fn a_stream_of_requests_is_read_the_same_however_it_is_cut() {
    let fields = "Host: a\r\nX-Trino-User: alice\r\n";
    let poll = format!("GET /1 HTTP/1.1\r\n{fields}\r\n");
    let statement = format!(
        "POST /2 HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n"
    );
    let stream = [&poll, &poll, &statement, &poll, "\r\n", "GET /3 HTTP/1.1\r\nHost : a\r\n\r\n"].concat();
    let whole = requests(&[stream.as_bytes()], true);
    assert_eq!(whole.len(), 9, "{whole:#?}");
    assert!(whole[5] == "body abc" && whole[8].starts_with("it is no HTTP/1.1"), "{whole:#?}");
    for size in 1..64 {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        assert_eq!(requests(&pieces, true), whole);
        assert_eq!(requests(&pieces, false), whole);
    }
    // What is remembered changes nothing of why something is refused, either.
    let odd = b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\n\r\n";
    assert_eq!(requests(&[odd], true), requests(&[odd], false));
}
