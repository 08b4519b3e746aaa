//! `foregate completions` and `foregate man`: what a package puts beside the program.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Exit;
use super::output::{complain, print};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder, which must exist
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut foregate: Command) -> Exit {
    // Written to memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut foregate, "foregate", &mut script);
    print(&script)
}

pub(super) fn man(args: &ManArgs, foregate: Command) -> Exit {
    let mut foregate = foregate.disable_help_subcommand(true);
    foregate.build();
    let Some(folder) = &args.dir else {
        return print(&page(foregate).1);
    };
    match write_pages(foregate, folder) {
        Ok(()) => Exit::Done,
        Err(error) => complain(format_args!(
            "cannot write the pages into {}: {error} (make the folder, or choose another)",
            folder.display()
        )),
    }
}

fn write_pages(command: Command, folder: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().cloned() {
        write_pages(subcommand, folder)?;
    }
    let (name, text) = page(command);
    fs::write(folder.join(name), text)
}

/// A command's page, and its file's name. What stands after the help is examples, whose lines are kept.
fn page(command: Command) -> (String, Vec<u8>) {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_subcommands = command.has_subcommands();
    let man = Man::new(command).manual("Foregate").source(concat!("foregate ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    let written = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| if has_subcommands { man.render_subcommands_section(&mut text) } else { Ok(()) })
        .and_then(|()| examples(&after, &mut text));
    written.expect("a Vec takes every write");
    (man.get_filename(), text)
}

/// Lines between `.nf` and `.fi` are kept as they are.
fn examples(after: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in after.trim_start_matches("Examples:\n").lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(out)
}
