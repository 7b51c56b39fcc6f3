//! The binary: composes all floors, and is the only reader of the environment.
//!
//! `serve` runs a Lar, `worker` is the child process that holds a model, `doctor` and `config` look at what
//! is there, and everything else is a client command of `lar-cli` against the running Lar, or against one
//! that is started for the length of the command.

mod backup;
mod config;
mod connect;
mod data_dir;
mod doctor;
mod logging;
mod serve;
mod service;
mod upgrade;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use lar_cli::{ApiError, Output, Surroundings};

use config::{Config, Flags};

/// Your own AI service in one binary.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 the command line was not understood; 3 the server refused \
                          the request; 4 `doctor` found something broken";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Hold one model for a server (started by it)
    #[command(hide = true)]
    Worker,
    /// Bring the database to this program's schema, after copying it
    Migrate,
    /// Keep a copy of everything but the models, check one, bring one back
    #[command(subcommand)]
    Backup(backup::Command),
    /// Run it with your session, or with the machine: a systemd unit
    #[command(subcommand)]
    Service(service::Service),
    /// Put another release in the place of this one, rehearsed on a copy, or take that back
    Upgrade(upgrade::Upgrade),
    /// Say what is missing or unused on this machine, and how to mend it
    Doctor,
    /// Look at and change the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(lar_cli::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json, terminal: std::io::stderr().is_terminal() };
    if matches!(cli.command, Command::Worker) {
        return match lar_engines::worker::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                // The server reads it, where the socket could not say it.
                #[expect(clippy::print_stderr, reason = "a worker has no log of its own")]
                {
                    eprintln!("{message}");
                }
                ExitCode::FAILURE
            }
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(run(cli, output));
        // A thread that still waits for standard input must not keep the process.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            let message = format!("{error:#}");
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "lar: {message}");
            let refused = error.downcast_ref::<ApiError>().is_some();
            if refused { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

fn surroundings(config: &Config, environment: &config::Environment) -> anyhow::Result<Surroundings> {
    let folder = |name: &str| environment.get(name).map(PathBuf::from);
    let absolute = std::path::absolute(&config.data_dir)?;
    Ok(Surroundings {
        home: environment.home(),
        codex_home: folder("CODEX_HOME"),
        claude_home: folder("CLAUDE_CONFIG_DIR"),
        data_dir: absolute,
        program: std::env::current_exe()?,
        local: environment.get("LAR_URL").is_none(),
    })
}

async fn run(cli: Cli, output: Output) -> anyhow::Result<ExitCode> {
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "lar", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let environment = config::Environment::read();
    if let Command::Config(command) = cli.command {
        return config::run(command, &cli.flags, &environment, &output).map(|()| ExitCode::SUCCESS);
    }
    let (config, _) = Config::load(&cli.flags, &environment)?;
    let _log = logging::start(&config, matches!(cli.command, Command::Serve));
    match cli.command {
        Command::Serve => serve::run(config, &environment, output).await.map(|()| ExitCode::SUCCESS),
        Command::Migrate => serve::migrate(&config, &output).map(|()| ExitCode::SUCCESS),
        Command::Backup(command) => {
            backup::run(command, config, &environment, &output).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Service(command) => {
            service::run(&command, &config, &environment, &output).map(|()| ExitCode::SUCCESS)
        }
        Command::Upgrade(command) => {
            upgrade::run(command, &config, &output).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Doctor => doctor::run(&config, &output).await,
        Command::Client(command) => {
            let around = surroundings(&config, &environment)?;
            if let lar_cli::Command::Hook(args) = &command {
                if lar_cli::connected(&config.data_dir, &args.client).is_ok() {
                    let client = connect::connect_if_there(&args.client, &config).await;
                    lar_cli::hook::run(client.as_ref(), &output, args, &config.data_dir).await;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let connection = match command.client() {
                Some(client) => connect::connect_as(client, config, &environment, &output).await?,
                None => connect::connect(config, &environment, &output).await?,
            };
            let result = command.run(&connection.client, &output, &around).await;
            connection.close().await;
            result.map(|()| ExitCode::SUCCESS)
        }
        Command::Worker | Command::Config(_) | Command::Completions { .. } => Ok(ExitCode::SUCCESS),
    }
}
