//! What the guest is granted: the arguments of `run` as the context of the world.

use crate::args::Run;
use crate::hints;
use crate::mounts::{self, EnvVar, Mount};
use crate::report::{self, Failure, printable};
use crate::signals;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use wasmoor_host::{Limits, Resource};
use wasmoor_wasi_p1::{WasiCtx, WasiCtxBuilder};

/// The guest's context: standard streams, arguments, and what was granted; nothing else.
///
/// # Errors
/// A directory or a file of variables cannot be opened, or a variable is not set.
pub(crate) fn context(args: &Run) -> Result<WasiCtx, Failure> {
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio().on_broken_output(signals::end_by_sigpipe).arg(program_name(args));
    builder.args(args.file_and_args.iter().skip(1).map(|arg| arg.as_bytes()));
    for variable in variables(args)? {
        builder.env(variable.0, variable.1);
    }
    for mount in mounts(args) {
        builder.preopen_dir(&mount.host, &mount.guest, mount.read_only).map_err(Failure::error)?;
    }
    if let Some(warning) = hints::kernel_trees(mounts(args)) {
        report::note(warning);
    }
    if let Some(cwd) = &args.cwd {
        current_dir(&mut builder, args, cwd)?;
    }
    for address in &args.tcplisten {
        builder.preopen_socket(listen(address)?);
    }
    builder.meter(Arc::new(limits(args)));
    builder.build().map_err(Failure::error)
}

fn listen(address: &str) -> Result<TcpListener, Failure> {
    let shown = printable(address);
    let failed = |error| Failure::error(format!("cannot listen on `{shown}`: {error}"));
    let listener = TcpListener::bind(address).map_err(failed)?;
    if address.ends_with(":0") {
        report::note(format_args!("listening on {}", listener.local_addr().map_err(failed)?));
    }
    Ok(listener)
}

fn limits(args: &Run) -> Limits {
    let given = [
        (Resource::OpenFiles, args.max_open_files),
        (Resource::Sockets, args.max_sockets),
        (Resource::OutputBytes, args.max_output),
    ];
    let given = given.into_iter().filter_map(|(resource, max)| Some((resource, max?)));
    given.fold(Limits::new(), |limits, (resource, max)| limits.with(resource, max))
}

/// `--argv0`, else the file's name without its folder.
fn program_name(args: &Run) -> Vec<u8> {
    let file = args.file_and_args.first().map(Path::new).unwrap_or(Path::new(""));
    match &args.argv0 {
        Some(name) => name.as_bytes().to_vec(),
        None => file.file_name().unwrap_or(file.as_os_str()).as_bytes().to_vec(),
    }
}

/// Names and values; those of files come first, so that `--env` overrides them.
fn variables(args: &Run) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut all = Vec::new();
    for path in &args.env_file {
        let shown = printable(&path.display().to_string());
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::error(format!("cannot read `{shown}`: {error}")))?;
        let variables = mounts::parse_env_file(&text);
        let variables = variables.map_err(|error| Failure::error(format!("`{shown}`: {error}")))?;
        // A name alone passes the host's value on, if there is one.
        let is_set = |variable: &EnvVar| {
            variable.value.is_some() || std::env::var_os(&variable.key).is_some()
        };
        all.extend(variables.into_iter().filter(is_set));
    }
    all.extend(args.env.iter().cloned());
    all.into_iter().map(value).collect()
}

fn value(variable: EnvVar) -> Result<(String, Vec<u8>), Failure> {
    let EnvVar { key, value } = variable;
    let value = match value {
        Some(value) => value.into_bytes(),
        None => std::env::var_os(&key)
            .ok_or_else(|| {
                let key = printable(&key);
                Failure::error(format!("the variable `{key}` is not set; give a value: {key}=..."))
            })?
            .as_bytes()
            .to_vec(),
    };
    Ok((key, value))
}

/// All grants of directories.
pub(crate) fn mounts(args: &Run) -> impl Iterator<Item = &Mount> {
    args.dir.iter().chain(&args.mapdir).chain(&args.volume)
}

/// Grants the directory that the guest knows as `cwd` also as `.`, where programs begin.
///
/// Preview 1 has no current directory; its libraries begin at a grant of this name. The
/// directory is looked up inside the grant that covers it, and a link out of it is refused.
fn current_dir(builder: &mut WasiCtxBuilder, args: &Run, cwd: &str) -> Result<(), Failure> {
    let shown = printable(cwd);
    let refuse = |why: &str| Failure::error(format!("the current directory `{shown}` {why}"));
    let outside = "lies in no granted directory; --dir, --mapdir or --volume grants one";
    if Path::new(cwd).components().any(|part| part == Component::ParentDir) {
        return Err(refuse("contains `..`"));
    }
    let wanted = names(cwd);
    let (mount, rest) = mounts(args)
        .filter_map(|mount| Some((mount, wanted.strip_prefix(names(&mount.guest)).ok()?)))
        .max_by_key(|(mount, _)| {
            let is_alike = Path::new(&mount.guest).is_absolute() == Path::new(cwd).is_absolute();
            (names(&mount.guest).components().count(), is_alike)
        })
        .ok_or_else(|| refuse(outside))?;
    let open = |host: &Path, guest: &str| {
        wasmoor_host::Mount::open(host, guest, mount.read_only).map_err(Failure::error)
    };
    let granted = open(&mount.host, &mount.guest)?;
    let host = if rest == Path::new("") { mount.host.clone() } else { mount.host.join(rest) };
    let dir = open(&host, ".")?;
    if !dir.host().starts_with(granted.host()) {
        return Err(refuse(outside));
    }
    if !dir.host().is_dir() {
        return Err(refuse("is no directory"));
    }
    builder.mount(dir).env("PWD", OsStr::new(cwd).as_bytes());
    Ok(())
}

/// The names in a guest's path. `w`, `./w` and `/w` are one path: programs begin at the root, and
/// their libraries compare without what these begin with.
pub(crate) fn names(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts.filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).collect()
}
