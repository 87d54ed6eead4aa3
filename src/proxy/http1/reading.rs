//! A whole stream of requests read at once, without a connection: for the fuzz target `requests`, and for tests.

use bytes::BytesMut;

use super::{
    super::framing::{Decoder, Step},
    head::{Head, Reader},
};

/// What is read of a client's stream that comes in `pieces`: a line for each request, with its body, up to what is refused
/// or not whole. With `remembers` the fields are read once that are the same as before, as a connection does.
pub(in crate::proxy) fn requests(pieces: &[&[u8]], remembers: bool) -> Vec<String> {
    let new = || Reader::new(2048, 32);
    let (mut reader, mut body) = (new(), None::<(Decoder, Vec<u8>)>);
    let (mut input, mut read) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            if let Some((decoder, text)) = &mut body {
                match decoder.next(&mut input) {
                    Ok(Step::Frame(frame)) => {
                        text.extend_from_slice(frame.data_ref().map_or(b"", |data| data));
                        continue;
                    }
                    Ok(Step::More) => break,
                    Ok(Step::End) => read.push(format!("body {}", text.escape_ascii())),
                    Err(fault) => {
                        read.push(format!("no body: {fault}"));
                        return read;
                    }
                }
                body = None;
                if !remembers {
                    reader = new();
                }
            }
            match reader.take(&mut input) {
                Ok(None) => break,
                Ok(Some(head)) => {
                    body = Some((Decoder::new(head.section.framing), Vec::new()));
                    read.push(line(&head));
                }
                Err(refusal) => {
                    read.push(refusal.to_string());
                    return read;
                }
            }
        }
    }
    read
}

fn line(head: &Head) -> String {
    let Head { method, uri, version, section } = head;
    format!("{method} {uri} {version:?} {:?} {:?} closes: {}", section.headers, section.framing, section.closes)
}
