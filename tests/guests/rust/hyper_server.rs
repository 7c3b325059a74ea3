//! A server: hyper as it is, on the reactor.
//!
//! `/` greets, `/echo` sends the body back as it comes, `/count` says how many bytes came, `/large`
//! sends 8 MiB, `/open` says how many connections are open, `/end` ends the program.

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use reactor::{Address, Listener, Stream};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

const LARGE: usize = 8 << 20;

type Answer = Response<Either<Full<Bytes>, Incoming>>;

#[derive(Default)]
struct State {
    open: Cell<usize>,
    requests: Cell<usize>,
    ending: Cell<bool>,
}

fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Either::Left(Full::new(text.into())))
}

async fn answer(request: Request<Incoming>, state: Rc<State>) -> Result<Answer, hyper::Error> {
    state.requests.set(state.requests.get() + 1);
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => text("Hello, world\n"),
        (&Method::GET, "/open") => text(state.open.get().to_string()),
        (&Method::GET, "/large") => {
            text((0..LARGE).map(|at| (at % 251) as u8).collect::<Vec<u8>>())
        }
        (&Method::POST, "/echo") => Response::new(Either::Right(request.into_body())),
        (&Method::POST, "/count") => text(count(request.into_body()).await?.to_string()),
        (&Method::GET, "/end") => {
            state.ending.set(true);
            let mut answer = text("bye\n");
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
        _ => {
            let mut answer = text("no such page\n");
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

async fn count(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut bytes = 0;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

async fn serve(stream: Stream, state: Rc<State>) {
    state.open.set(state.open.get() + 1);
    let service = service_fn(|request| answer(request, Rc::clone(&state)));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
    state.open.set(state.open.get() - 1);
    if let Err(error) = served {
        // The peer went away, or spoke something else.
        println!("connection: {error}");
    }
    if state.ending.get() {
        reactor::stop();
    }
}

async fn listen(listener: Listener, state: Rc<State>) -> std::io::Result<Infallible> {
    loop {
        let stream = listener.accept().await?;
        reactor::spawn(serve(stream, Rc::clone(&state)));
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = Listener::bind(Address { ip: [127, 0, 0, 1], port })?;
    println!("port {}", listener.port()?);
    let state = Rc::new(State::default());
    let shared = Rc::clone(&state);
    reactor::run(async move {
        let Err(error) = listen(listener, shared).await;
        eprintln!("accepting: {error}");
        std::process::exit(1);
    })?;
    println!("requests {}", state.requests.get());
    Ok(())
}
