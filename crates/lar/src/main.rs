//! The `lar` binary: composes all crates, and is the only crate that reads the environment.
//!
//! `serve` runs the server. `worker` is the child process that runs one model. `backup`, `doctor`, `config`,
//! `service` and `upgrade` work on this machine. All other commands are client commands of `lar-cli`. They
//! use the running Lar. If none is running, most of them start one that ends with the command.

mod advice;
mod backup;
mod config;
mod data_dir;
mod doctor;
mod find_server;
mod invocation;
mod logging;
mod open_files;
mod serve;
mod service;
mod upgrade;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use lar_cli::output::{OutputClosed, StoppedByUser, plain_lines};
use lar_cli::{ApiError, CommandContext, Output};
use tokio::signal::unix::{SignalKind, signal};

use config::{Config, Flags};

/// Your own AI service in one binary.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = config::GLOBAL_OPTIONS)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure; 2 invalid command line; 3 the server rejected the \
                          request; 4 `doctor` found a problem; 130 stopped by Ctrl+C";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Run one model for a server (started by the server)
    #[command(hide = true)]
    Worker,
    /// Run an engine's own server, confined (started by the server)
    #[command(hide = true)]
    Launch(Launch),
    /// Migrate the database to the schema of this version, after making a copy
    Migrate,
    /// Create, verify and restore backups, and salvage a damaged database
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Run Lar as a systemd service, for you or for the whole machine
    #[command(subcommand)]
    Service(service::Service),
    /// Install another release after a dry run on a copy of the data, or undo the last upgrade
    Upgrade(upgrade::Upgrade),
    /// Check the installation and this machine, and say how to fix problems
    Doctor,
    /// Show and change the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print shell completions
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(lar_cli::Command),
}

/// The arguments of [`Command::Launch`].
#[derive(Debug, clap::Args)]
struct Launch {
    #[arg(long)]
    server: u32,
    #[arg(long)]
    port: u16,
    /// A file that the program reads; repeat it for each file
    #[arg(long)]
    read: Vec<PathBuf>,
    #[arg(long)]
    require_confinement: bool,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json, terminal: std::io::stderr().is_terminal() };
    let child = match &cli.command {
        Command::Worker => Some(lar_worker::run()),
        Command::Launch(launch) => Some(Err(become_engine(launch))),
        _ => None,
    };
    if let Some(ended) = child {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                // The server reads standard error if the worker could not report the error over the socket.
                #[expect(clippy::print_stderr, reason = "a worker has no log")]
                {
                    eprintln!("{message}");
                }
                ExitCode::FAILURE
            }
        };
    }
    if writes_private_files(&cli.command) {
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    }
    // While there is one thread: remove the secrets from the environment, and keep child processes from
    // inheriting descriptors that the shell left open.
    lar_sandbox::set_close_on_exec();
    let environment = config::Environment::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(run(cli, &environment, output));
        // A thread that still waits for standard input must not delay the exit.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does.
        Err(error) if error.downcast_ref::<OutputClosed>().is_some() => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<StoppedByUser>().is_some() => {
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(&format!("{error:#}")));
            ExitCode::from(StoppedByUser::EXIT_CODE)
        }
        Err(error) => {
            let message = plain_lines(&format!("{error:#}"));
            let _ = writeln!(std::io::stderr(), "lar: {message}");
            if let Some(step) = advice::next_step(&error) {
                let _ = writeln!(std::io::stderr(), "→ {}", plain_lines(&step));
            }
            let refused = error.downcast_ref::<ApiError>().is_some();
            if refused { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

/// Returns whether only the user may read the files that a command writes. Everyone may read units and
/// releases.
fn writes_private_files(command: &Command) -> bool {
    !matches!(command, Command::Service(_) | Command::Upgrade(_))
}

/// Replaces this process with the engine's server. Returns an error message if that fails.
fn become_engine(launch: &Launch) -> String {
    let (program, arguments) = launch
        .command
        .split_first()
        .map_or_else(Default::default, |(program, rest)| (PathBuf::from(program), rest.to_vec()));
    lar_engines::llama_server::launch(lar_engines::llama_server::Launch {
        server: launch.server,
        port: launch.port,
        files: launch.read.clone(),
        require: launch.require_confinement,
        program,
        arguments,
    })
}

fn command_context(config: &Config, environment: &config::Environment) -> anyhow::Result<CommandContext> {
    let folder = |name: &str| environment.get(name).map(PathBuf::from);
    let absolute = std::path::absolute(&config.data_dir)?;
    Ok(CommandContext {
        home: environment.home(),
        codex_home: folder("CODEX_HOME"),
        claude_home: folder("CLAUDE_CONFIG_DIR"),
        data_dir: absolute,
        program: std::env::current_exe()?,
        invocation: invocation::with_data_dir(config, environment),
        local: environment.get("LAR_URL").is_none(),
    })
}

/// Handles SIGXFSZ, which would end the process when a file reaches the limit of `ulimit -f`. With the
/// handler, the write fails with an error, as on a full disk. Child processes get the default action back.
fn ignore_file_size_signal() -> std::io::Result<()> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // The handler stays installed after the stream of signals is dropped.
    signal(kind).map(drop)
}

async fn run(cli: Cli, environment: &config::Environment, output: Output) -> anyhow::Result<ExitCode> {
    ignore_file_size_signal()?;
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "lar", &mut script);
        output.text(&String::from_utf8_lossy(&script))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Config(command) = cli.command {
        return config::run(command, &cli.flags, environment, &output).map(|()| ExitCode::SUCCESS);
    }
    let (config, invalid) = match Config::load(&cli.flags, environment) {
        Ok((config, _)) => (config, None),
        // `doctor` must run with an invalid configuration, because it reports the error.
        Err(error) if matches!(cli.command, Command::Doctor) => {
            (Config::fallback(&cli.flags, environment)?, Some(format!("{error:#}")))
        }
        Err(error) => return Err(error),
    };
    let _log = logging::start(&config.log, matches!(cli.command, Command::Serve(_)));
    match cli.command {
        Command::Serve(args) => {
            serve::run(args, config, environment, output).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Migrate => serve::migrate(&config, environment, &output).map(|()| ExitCode::SUCCESS),
        Command::Backup(command) => {
            backup::run(command, config, environment, &output).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Service(command) => {
            service::run(&command, &config, environment, &output).map(|()| ExitCode::SUCCESS)
        }
        Command::Upgrade(command) => {
            upgrade::run(command, &config, environment, &output).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Doctor => doctor::run(&config, environment, invalid, &output).await,
        Command::Client(command) => {
            let context = command_context(&config, environment)?;
            if let lar_cli::Command::Hook(args) = &command {
                if lar_cli::find_client(&config.data_dir, &args.client).is_ok() {
                    let client = find_server::connect_if_running(&args.client, &config).await;
                    lar_cli::hook::run(client.as_ref(), &output, args, &config.data_dir).await;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let connection = match (command.client(), command.needs_running_lar()) {
                (Some(client), _) => find_server::connect_as(client, config, environment, &output).await?,
                (None, true) => {
                    find_server::connect_to_running(&config, environment, &context.invocation).await?
                }
                (None, false) => find_server::connect(config, environment, &output).await?,
            };
            let result = command.run(&connection.client, &output, &context).await;
            connection.close().await;
            result.map(|()| ExitCode::SUCCESS)
        }
        Command::Worker | Command::Launch(_) | Command::Config(_) | Command::Completions { .. } => {
            Ok(ExitCode::SUCCESS)
        }
    }
}
