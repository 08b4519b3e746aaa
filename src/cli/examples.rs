//! The examples at the end of each command's help. Tests parse every line of them, and run those that end by
//! themselves.

pub(super) const FOREGATE: &str = "\
Examples:
  foregate demo      # try it on this machine: nothing to install, nothing to configure
  foregate check     # read proxy.toml as `run` would, and say all that is wrong with it
  foregate users add alice --group staff
  foregate run --config /etc/foregate/proxy.toml

Without a command it runs. Without --config the file is $FOREGATE_CONFIG, ./proxy.toml or
/etc/foregate/proxy.toml, whichever is there first.

Exit codes: 0 done, 1 what was asked does not hold, 2 usage or configuration, 3 unreachable.";

pub(super) const RUN: &str = "\
Examples:
  foregate run
  foregate run --config /etc/foregate/proxy.toml

SIGTERM or Ctrl-C ends it once what is under way is finished, at the latest after
server.shutdown_grace; a second one ends it at once.";

pub(super) const DEMO: &str = "\
Examples:
  foregate demo
  foregate demo --listen 127.0.0.1:9443";

pub(super) const CHECK: &str = "\
Examples:
  foregate check
  foregate check --config /etc/foregate/proxy.toml --json
  foregate check --production                       # the production checklist
  foregate check --production --live                # and how Redis is set up

Exit codes: 0 good, 1 a line of the checklist fails, 2 no usable configuration, 3 the store does not answer.";

pub(super) const EXPLAIN: &str = "\
Examples:
  foregate explain https://app.example.com/admin
  foregate explain https://app.example.com/orders --method POST --header \"Origin: https://other.example\"
  foregate explain https://app.example.com/ --cookie - --json < cookie.txt    # what the browser sends as Cookie
  foregate explain --trace 192.0.2.7                               # what becomes of the requests of this client
  foregate explain --request 0123456789abcdef0123456789abcdef     # what became of this one

Without a header that says otherwise the request is what a browser sends when somebody types the address, and with
another method than GET and HEAD what a page of that very site sends.

Exit codes: 0 told, 2 usage or configuration, 3 the store does not answer.";

pub(super) const VERIFY: &str = "\
Examples:
  foregate verify https://app.example.com/
  foregate verify https://app.example.com/account --user tester < password.txt
  foregate verify https://app.example.com/account --user tester --intrusive --idle 31m
  foregate verify https://localhost:8443/ --ca certs/localhost.crt --http http://localhost:8080/ --user alice

Exit codes: 0 nothing fails, 1 a check fails, 2 usage, 3 nobody answers.";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  foregate healthcheck
  foregate healthcheck --json

Exit codes: 0 ready, 1 not ready, 2 no usable configuration, 3 nobody answers.";

pub(super) const SECRET: &str = "\
Examples:
  (umask 077; foregate secret > session.secret)     # then: secret = { file = \"session.secret\" }";

pub(super) const PASSWORD: &str = "\
Examples:
  foregate password                                 # asks twice
  foregate password < password.txt                  # the first line";

pub(super) const USERS: &str = "\
Examples:
  foregate users add alice --email alice@example.com --group staff
  foregate users list
  foregate users disable alice --file /var/lib/foregate/users.toml

The running proxy reads the file again within ten seconds.";

pub(super) const USERS_ADD: &str = "\
Examples:
  foregate users add bob
  foregate users add carol --name \"Carol Example\" --email carol@example.com --group staff --group admins
  foregate users add dave < password.txt";

pub(super) const USERS_LIST: &str = "\
Examples:
  foregate users list
  foregate users list --json";

pub(super) const USERS_PASSWD: &str = "\
Examples:
  foregate users passwd alice
  foregate users passwd alice < password.txt";

pub(super) const USERS_DISABLE: &str = "\
Examples:
  foregate users disable alice";

pub(super) const USERS_ENABLE: &str = "\
Examples:
  foregate users enable alice";

pub(super) const USERS_REMOVE: &str = "\
Examples:
  foregate users remove alice";

pub(super) const SESSIONS: &str = "\
Examples:
  foregate sessions list --user alice
  foregate sessions count
  foregate sessions revoke --user alice

Exit codes: 0 done, 1 there is no such session, 2 usage or configuration, 3 the store or the proxy does not answer.";

pub(super) const SESSIONS_LIST: &str = "\
Examples:
  foregate sessions list
  foregate sessions list --user alice --json
  foregate sessions list --limit 1000 --json";

pub(super) const SESSIONS_SHOW: &str = "\
Examples:
  foregate sessions show lQae2wdUIKn2j0tYg0qaaA";

pub(super) const SESSIONS_COUNT: &str = "\
Examples:
  foregate sessions count
  foregate sessions count --json";

pub(super) const SESSIONS_REVOKE: &str = "\
Examples:
  foregate sessions revoke lQae2wdUIKn2j0tYg0qaaA
  foregate sessions revoke --user alice
  foregate sessions revoke --all --yes              # everybody logs in again

Running proxies hear of it within milliseconds. What is ended through the admin socket stands in the proxy's audit
log; what is ended in Redis directly stands in none.";

pub(super) const FINDINGS: &str = "\
Examples:
  foregate findings
  foregate findings --policy cookies --json

Exit codes: 0 done, 2 usage or configuration, 3 the proxy does not answer.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  foregate completions bash > /usr/share/bash-completion/completions/foregate
  foregate completions zsh > /usr/share/zsh/site-functions/_foregate
  foregate completions fish > ~/.config/fish/completions/foregate.fish";

pub(super) const MAN: &str = "\
Examples:
  foregate man | man -l -                           # read it now
  foregate man --dir /usr/local/share/man/man1      # a page for each command";
