//! What the program says of itself: help, examples, suggestions, manual pages, completions.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::command::{Outcome, foregate, run};

/// Everything that an example needs: a configuration, a user, a password.
fn stage(folder: &Path) {
    let folders = ["etc/foregate", "var/lib/foregate", "usr/share/bash-completion/completions"];
    let more = ["usr/share/zsh/site-functions", "usr/local/share/man/man1", ".config/fish/completions"];
    for inside in folders.iter().chain(&more) {
        fs::create_dir_all(folder.join(inside)).unwrap();
    }
    let users = folder.join("var/lib/foregate/users.toml");
    let text = format!(
        "mode = \"development\"\n[server]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin_socket = \"none.sock\"\n\
         admin = \"off\"\n[tls]\nself_signed = [\"localhost\"]\n[session.store]\nurl = \"memory:\"\n\
         [auth.local]\nusers = {users:?}\n\
         [upstream.app]\nservers = [\"http://127.0.0.1:9\"]\n[[route]]\nupstream = \"app\"\n",
    );
    fs::write(folder.join("proxy.toml"), &text).unwrap();
    fs::write(folder.join("etc/foregate/proxy.toml"), &text).unwrap();
    fs::write(folder.join("password.txt"), "correct horse battery staple\n").unwrap();
    fs::write(folder.join("cookie.txt"), "app=1\n").unwrap();
    assert_eq!(run(folder, &["users", "add", "alice"], "tiger\n").code, 0);
}

/// The help of a command and of all below it.
fn helps(folder: &Path, command: &[&str]) -> Vec<String> {
    let help = run(folder, &[command, &["--help"]].concat(), "");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
    let mut all = vec![help.stdout.clone()];
    let listed = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            all.extend(helps(folder, &[command, &[name]].concat()));
        }
    }
    all
}

/// As a shell runs it, with what is absolute or in the home folder found in `folder`.
fn as_written(folder: &Path, example: &str) -> Outcome {
    let inside = example.replace(" /", " ./").replace("~/", "./").replace("man -l -", "cat");
    let program = Path::new(env!("CARGO_BIN_EXE_foregate")).parent().unwrap();
    let script = format!("PATH={}:$PATH; {inside}", program.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder).env_remove("FOREGATE_CONFIG");
    let password = fs::File::open(folder.join("password.txt")).unwrap();
    let output = shell.stdin(password).output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn every_help_has_examples_and_those_that_end_by_themselves_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    stage(folder.path());
    let users = folder.path().join("var/lib/foregate/users.toml");
    let alice = fs::read(&users).unwrap();
    let helps = helps(folder.path(), &[]);
    assert!(helps.len() > 14, "{}", helps.len());
    let mut ran = 0;
    for help in helps {
        let examples = help.split("\nExamples:\n").nth(1).unwrap_or_else(|| panic!("no examples: {help}"));
        for example in examples.lines().filter(|line| line.starts_with("  ")) {
            // They serve, or ask a site of this world.
            let apart = ["foregate run", "foregate demo", "foregate verify"];
            if apart.iter().any(|apart| example.contains(apart)) {
                continue;
            }
            if example.contains("users add alice") {
                fs::remove_file(&users).unwrap();
            } else {
                fs::write(&users, &alice).unwrap();
            }
            let outcome = as_written(folder.path(), example);
            let asks_a_proxy =
                ["healthcheck", "sessions ", "findings", "explain --trace", "explain --request"]
                    .iter()
                    .any(|asking| example.contains(asking));
            let expected = match example {
                _ if asks_a_proxy => 3,
                // What the stage has is for development.
                _ if example.contains("--production") => 1,
                _ => 0,
            };
            assert_eq!(outcome.code, expected, "{example}: {outcome:?}");
            ran += 1;
        }
    }
    assert!(ran > 20, "{ran} examples ran");
}

#[test]
fn a_misspelled_command_or_flag_is_answered_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    for (args, suggestion) in
        [(&["chekc"][..], "'check'"), (&["check", "--jsno"], "'--json'"), (&["users", "lst"], "'list'")]
    {
        let outcome = run(folder.path(), args, "");
        assert!(outcome.code == 2 && outcome.stderr.contains(suggestion), "{outcome:?}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["--version"], "");
    assert_eq!((outcome.code, outcome.stdout), (0, format!("foregate {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn colours_are_for_terminals_whose_user_has_not_declined_them() {
    let folder = tempfile::tempdir().unwrap();
    stage(folder.path());
    // A start that logs that there are no users, and ends by itself at the authority that is not there.
    fs::remove_file(folder.path().join("var/lib/foregate/users.toml")).unwrap();
    let config = fs::read_to_string(folder.path().join("proxy.toml")).unwrap();
    let config = config.replace("\"http://127.0.0.1:9\"]", "\"https://127.0.0.1:9\"]\nca = \"none.pem\"");
    fs::write(folder.path().join("proxy.toml"), config).unwrap();
    let program = env!("CARGO_BIN_EXE_foregate");
    let on_a_terminal = |command: &str, no_color: &str| {
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", command, "/dev/null"]).current_dir(folder.path());
        script.env("TERM", "xterm-256color").env("NO_COLOR", no_color).env_remove("CLICOLOR");
        String::from_utf8(script.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
    };
    for (args, says) in [("--help", "Usage"), ("--no-such-flag", "error"), ("run", "no users yet")] {
        let coloured = on_a_terminal(&format!("{program} {args}"), "");
        assert!(coloured.contains("\x1b[") && coloured.contains(says), "{args}: {coloured}");
        let plain = on_a_terminal(&format!("{program} {args}"), "1");
        assert!(!plain.contains("\x1b[") && plain.contains(says), "{args}: {plain}");
    }
    assert!(!run(folder.path(), &["--help"], "").stdout.contains("\x1b["));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is_one() {
    let folder = tempfile::tempdir().unwrap();
    stage(folder.path());
    for args in [&["users", "list"][..], &["check"], &["man"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = foregate(folder.path(), args).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    }
    for args in [&["users", "list"][..], &["check", "--json"], &["man"], &["secret"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = foregate(folder.path(), args).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("is the disk full?"), "{args:?}: {said}");
    }
}

#[test]
fn every_shell_gets_its_completions_and_bash_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(folder.path(), &["completions", shell], "");
        assert!(script.code == 0 && script.stdout.contains("healthcheck"), "{shell}");
    }
    fs::write(folder.path().join("script"), run(folder.path(), &["completions", "bash"], "").stdout).unwrap();
    let words = ". ./script; COMP_WORDS=(foregate us); COMP_CWORD=1; _foregate foregate us foregate; echo ${COMPREPLY[@]}";
    let completed = Command::new("bash").args(["-c", words]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8(completed.stdout).unwrap(), "users\n");
    assert_eq!(run(folder.path(), &["completions", "tcsh"], "").code, 2);
}

#[test]
fn each_command_has_its_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = run(folder.path(), &["man"], "");
    assert!(page.code == 0 && page.stdout.contains(".SH EXAMPLES\n.nf\n"), "{page:?}");
    assert_eq!(run(folder.path(), &["man", "--dir", "."], "").code, 0);
    assert_eq!(fs::read_to_string(folder.path().join("foregate.1")).unwrap(), page.stdout);
    for name in ["run", "users", "users-add", "completions"] {
        let page = fs::read_to_string(folder.path().join(format!("foregate-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH EXAMPLES"), "{page}");
    }
    assert!(!folder.path().join("foregate-help.1").exists());
    let nowhere = run(folder.path(), &["man", "--dir", "none"], "");
    assert!(nowhere.code == 2 && nowhere.stderr.contains("make the folder"), "{nowhere:?}");
}
