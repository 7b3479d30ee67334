//! A Redis server on a free port, with failures on demand.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A running `redis-server`; dropping it ends it.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    folder: TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    process: Child,
}

impl RedisServer {
    /// Starts a server.
    pub(crate) fn start() -> Self {
        Self::start_with("--port", &[], &[])
    }

    /// Starts a server whose port is set by this option, with more options and these
    /// environment variables.
    pub(crate) fn start_with(
        port_option: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        // The port may be taken before Redis binds it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .unwrap()
                .port();
            let folder = tempfile::tempdir().unwrap();
            let mut options: Vec<String> = more.iter().map(|one| (*one).to_owned()).collect();
            options.extend([port_option.to_owned(), port.to_string()]);
            let mut server = Self {
                process: spawn(&options, &environment, &folder),
                port,
                folder,
                options,
                environment: environment.clone(),
            };
            if server.is_ready() {
                return server;
            }
        }
        panic!("no redis-server could be started");
    }

    /// The URL of the server.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The path of its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Sends a command and returns the reply.
    pub(crate) fn say(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Stalls the server: it accepts connections and does not reply.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    /// Resumes a stalled server.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, at the same address and empty.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.options, &self.environment, &self.folder);
        assert!(self.is_ready());
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the server reports that it is ready; false if it exits before.
    fn is_ready(&mut self) -> bool {
        let said = BufReader::new(self.process.stdout.take().unwrap());
        said.lines()
            .map_while(Result::ok)
            .any(|line| line.contains("eady to accept connections"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already; a stalled one dies too.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(options: &[String], environment: &[(String, String)], folder: &TempDir) -> Child {
    let socket = folder.path().join("redis.sock");
    // A killed server leaves its socket behind.
    drop(std::fs::remove_file(&socket));
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder.path())
        .arg("--unixsocket")
        .arg(&socket)
        .args(options)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is not installed; scripts/needs says what the tests need")
}
