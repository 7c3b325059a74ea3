//! An HTTP server that makes an instance per request: whatever a request does to its instance, the
//! next one finds it as it began. Threads share one engine, one module, and one pool.
//!
//! `cargo run --release -p wasmoor --example http_server -- 127.0.0.1:8080` serves until it is
//! stopped; without an address it asks itself a few things and ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use wasmoor::{Engine, Error, InstancePre, Linker, Module, Result, Store, StoreLimits};

/// Answers with the path in capital letters, after counting its own calls: always the first.
const HANDLER: &str = r#"(module
    (memory (export "memory") 1 16)
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 0) "call 0 of this instance: ")
    ;; The path lies at 64; the answer is what lies from 0 on, and its length is the result.
    (func (export "handle") (param $len i32) (result i32) (local $i i32) (local $c i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 5) (i32.add (i32.const 48) (global.get $calls)))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
            (local.set $c (i32.load8_u offset=64 (local.get $i)))
            (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
                (then (local.set $c (i32.sub (local.get $c) (i32.const 32)))))
            (i32.store8 offset=25 (local.get $i) (local.get $c))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.add (local.get $len) (i32.const 25))))"#;

const PATH_AT: usize = 64;
const PATH_BYTES_MAX: usize = 1024;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, HANDLER)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"));
    let listener = listener.map_err(Error::host)?;
    let at = listener.local_addr().map_err(Error::host)?;
    let requests_max = if address.is_some() { u64::MAX } else { 4 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let server = |_| scope.spawn(|| serve(&listener, &pre, requests_max));
        let servers: Vec<_> = (0..threads).map(server).collect();
        if address.is_some() {
            println!("serving on http://{at}");
            return;
        }
        for request in 0..threads as u64 * requests_max {
            match ask(at, &format!("/hello/{request}")) {
                Ok(answer) => println!("{answer}"),
                Err(error) => println!("{error}"),
            }
        }
        drop(servers);
    });
    println!("{:?}", engine.pool_stats().unwrap_or_default());
    Ok(())
}

fn serve(listener: &TcpListener, pre: &InstancePre<()>, requests_max: u64) {
    for _ in 0..requests_max {
        // A client that goes away is no reason to stop serving others.
        if let Err(error) = listener.accept().and_then(|(stream, _)| answer(stream, pre)) {
            eprintln!("{error}");
        }
    }
}

fn answer(mut stream: TcpStream, pre: &InstancePre<()>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(&stream).take(8 << 10).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match handle(pre, path) {
        Ok(body) => ("200 OK", body),
        Err(error) => ("500 Internal Server Error", error.to_string().into_bytes()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

/// One instance, with its limits, for one request.
fn handle(pre: &InstancePre<()>, path: &str) -> Result<Vec<u8>> {
    let mut store = Store::new(pre.module().engine(), ())?;
    store.set_limits(StoreLimits { memory_bytes_max: 1 << 20, ..StoreLimits::default() });
    let instance = pre.instantiate(&mut store)?;
    let _deadline = store.set_deadline(Duration::from_secs(1))?;
    let memory = instance
        .get_memory(&store, "memory")
        .ok_or_else(|| Error::usage("the handler exports no memory"))?;
    let path = &path.as_bytes()[..path.len().min(PATH_BYTES_MAX)];
    memory.write(&mut store, PATH_AT, path)?;
    let handle = instance.get_typed_func::<i32, i32>(&store, "handle")?;
    let length = handle.call(&mut store, path.len() as i32)?;
    let mut body = vec![0; usize::try_from(length).unwrap_or(0).min(2 * PATH_BYTES_MAX)];
    memory.read(&store, 0, &mut body)?;
    Ok(body)
}

fn ask(at: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}
