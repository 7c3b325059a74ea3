//! Sockets: each call is tried, and waits for the next edge where it would block.

use crate::sys::{Address, Descriptor};
use crate::{Source, reactor};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A descriptor in the reactor's set.
struct Watched {
    descriptor: Descriptor,
    token: u64,
    source: Rc<Source>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        reactor().sources.borrow_mut().remove(&self.token);
    }
}

impl Watched {
    fn new(descriptor: Descriptor) -> io::Result<Self> {
        let reactor = reactor();
        let token = reactor.token();
        let source = Rc::new(Source::default());
        reactor.set.add(&descriptor, token)?;
        reactor.sources.borrow_mut().insert(token, Rc::clone(&source));
        Ok(Watched { descriptor, token, source })
    }

    fn reading<T>(
        &self,
        context: &Context<'_>,
        call: impl FnOnce(&Descriptor) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        or_wait(&self.source.reader, context, call(&self.descriptor))
    }

    fn writing<T>(
        &self,
        context: &Context<'_>,
        call: impl FnOnce(&Descriptor) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        or_wait(&self.source.writer, context, call(&self.descriptor))
    }
}

fn or_wait<T>(
    place: &Cell<Option<Waker>>,
    context: &Context<'_>,
    result: io::Result<T>,
) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            place.set(Some(context.waker().clone()));
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}

/// A socket that accepts connections.
pub struct Listener(Watched);

impl Listener {
    /// Listens; port 0 is one that is free.
    ///
    /// # Errors
    /// As of the calls; nothing may be granted.
    pub fn bind(address: Address) -> io::Result<Self> {
        let socket = Descriptor::socket()?;
        socket.listen(address)?;
        Ok(Listener(Watched::new(socket)?))
    }

    /// The port it listens at.
    ///
    /// # Errors
    /// As of the call.
    pub fn port(&self) -> io::Result<u16> {
        self.0.descriptor.port()
    }

    /// The next connection.
    ///
    /// # Errors
    /// As of the call.
    pub async fn accept(&self) -> io::Result<Stream> {
        let accepted = poll_fn(|context| self.0.reading(context, Descriptor::accept)).await?;
        Ok(Stream(Watched::new(accepted)?))
    }
}

/// A connection.
pub struct Stream(Watched);

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or it is not granted.
    pub async fn connect(address: Address) -> io::Result<Self> {
        let socket = Descriptor::socket()?;
        let at_once = socket.connect(address)?;
        let watched = Watched::new(socket)?;
        if !at_once {
            let mut asked = false;
            // The first edge tells that it is known.
            poll_fn(|context| {
                let wait = Err(io::ErrorKind::WouldBlock.into());
                let result = if asked { Ok(()) } else { wait };
                asked = true;
                or_wait(&watched.source.writer, context, result)
            })
            .await?;
            watched.descriptor.connected()?;
        }
        Ok(Stream(watched))
    }

    /// Reads what there is; 0 at the end.
    pub fn poll_read(&self, context: &Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.reading(context, |descriptor| descriptor.read(into))
    }

    /// Writes what fits.
    pub fn poll_write(&self, context: &Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.0.writing(context, |descriptor| descriptor.write(from))
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 16 << 10];
        let room = into.remaining().min(buffer.len());
        Stream::poll_read(&self, context, &mut buffer[..room])
            .map_ok(|count| into.put_slice(&buffer[..count]))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(&self, context, from)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.descriptor.end_writing())
    }
}
