//! The program as a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `foregate ARGS` in `folder`, with nothing of this machine's environment that it could read.
pub(crate) fn foregate(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregate"));
    command.args(args).current_dir(folder);
    let read = |name: &str| {
        ["FOREGATE_", "SESSION_"].iter().any(|start| name.starts_with(start))
            || ["SECRET_KEY", "REDIS_URL", "PERMANENT_SESSION_LIFETIME_HOURS"].contains(&name)
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(read)) {
        command.env_remove(name);
    }
    // Tests may run under a service manager themselves.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("CREDENTIALS_DIRECTORY");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, args: &[&str], input: &str) -> Outcome {
    let mut child = foregate(folder, args).stdin(Stdio::piped()).spawn().unwrap();
    // A command that asks for nothing may be gone before the input is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A process that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Its standard output up to the line that holds `text`.
    pub(crate) fn said(&mut self, text: &str) -> String {
        read_until(&mut self.stdout, text)
    }

    /// The same; `None` where it ended before that.
    pub(crate) fn said_before_its_end(&mut self, text: &str) -> Option<String> {
        let mut all = String::new();
        while !all.contains(text) {
            if self.stdout.read_line(&mut all).unwrap() == 0 {
                return None;
            }
        }
        Some(all)
    }

    /// Its log up to the line that holds `text`.
    pub(crate) fn logged(&mut self, text: &str) -> String {
        read_until(&mut self.stderr, text)
    }

    /// The rest of its log, once it has ended.
    pub(crate) fn rest(&mut self) -> String {
        std::io::read_to_string(&mut self.stderr).unwrap()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; the exit code, where no signal killed it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_until(reader: &mut impl BufRead, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        let read = reader.read_line(&mut all).unwrap();
        assert!(read > 0, "it ended before saying {text:?}: {all}");
    }
    all
}
