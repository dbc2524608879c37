//! Secrets that are an argument of their own, told by the flag before them (`--password x`), and those that only the
//! program's name tells (`mysql -px`, `curl -u user:x`). What a text says of itself is `text.rs`'s.

use std::ops::Range;

use crate::name::Names;

/// How a program's flag takes its secret.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `-px` only.
    Attached,
    /// `-p x` only.
    Next,
    /// Both.
    Either,
}

/// A flag, its form, and what the secret comes after in the value.
type Flag = (&'static str, Form, Option<char>);

/// Programs, flags, form, and what the secret comes after in the value.
type Rule = (
    &'static [&'static str],
    &'static [&'static str],
    Form,
    Option<char>,
);

/// Programs whose short flags take secrets.
#[rustfmt::skip]
const PROGRAMS: &[Rule] = &[
    (&["mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck", "mysqlslap", "mysqlpump", "mysqlbinlog"], &["-p"], Form::Attached, None),
    (&["mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-show", "mariadb-check", "mariadb-slap", "mariadb-binlog", "mariadb-backup"], &["-p"], Form::Attached, None),
    (&["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"], &["-p"], Form::Either, None),
    (&["mysqlsh"], &["-p"], Form::Attached, None),
    (&["sshpass", "cqlsh", "rabbitmqadmin"], &["-p"], Form::Either, None),
    (&["7z", "7za", "7zr"], &["-p"], Form::Attached, None),
    (&["curl"], &["-u", "--user", "-U", "--proxy-user"], Form::Either, Some(':')),
    (&["http", "https", "xh", "xhs"], &["-a", "--auth"], Form::Either, Some(':')),
    (&["curl"], &["--oauth2-bearer"], Form::Next, None),
    (&["redis-cli", "valkey-cli", "keydb-cli"], &["-a"], Form::Either, None),
    (&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"], &["-w"], Form::Either, None),
    (&["smbclient", "rpcclient", "smbget"], &["-U"], Form::Either, Some('%')),
    (&["lftp"], &["-u"], Form::Next, Some(',')),
    (&["mosquitto_pub", "mosquitto_sub", "sqlcmd", "bcp", "ipmitool", "zip", "unzip"], &["-P"], Form::Either, None),
    (&["snmpget", "snmpset", "snmpwalk", "snmpbulkwalk"], &["-c", "-A", "-X"], Form::Either, None),
    (&["openssl"], &["-k"], Form::Next, None),
    (&["nmcli"], &["password"], Form::Next, None),
    (&["xfreerdp", "wfreerdp"], &["/p:"], Form::Attached, None),
];

/// Programs whose `login` takes a password with -p; elsewhere that is a port.
const LOGIN: &[&str] = &[
    "docker", "podman", "nerdctl", "skopeo", "buildah", "helm", "oras", "az",
];

/// Programs that the ones above run, whose own short flags are no secrets.
const PLAIN: &[&str] = &["ssh", "scp", "sftp", "rsync"];

/// For each argument the part of it that is a secret, if the arguments before it say so.
pub(crate) fn values(args: &[impl AsRef<str>], names: &Names) -> Vec<Option<Range<usize>>> {
    let mut program = "";
    let mut known: Vec<Flag> = vec![];
    let mut next: Option<Option<char>> = None;
    let value = |arg| {
        // A flag can't be the value of one that has none after all: `--password --host db`.
        if let Some(after) = next.take()
            && !is_long_flag(arg)
        {
            return secret(arg, 0, after);
        }
        for &(flag, form, after) in &known {
            if arg == flag && form != Form::Attached {
                next = Some(after);
                return None;
            }
            // `-sSu joe:x` is `-s -S -u joe:x`; what has no name before its secret could be anything.
            if after.is_some() && form == Form::Either && ends_bundle(arg, flag) {
                next = Some(after);
                return None;
            }
            let attached = form != Form::Next && !is_long_flag(flag) && arg.len() > flag.len();
            if attached && arg.starts_with(flag) {
                return secret(arg, flag.len(), after);
            }
        }
        if let Some(name) = arg.strip_prefix('-') {
            // With its value in the same argument it is `text.rs`'s.
            if !arg.contains(['=', ':', ' ']) && names.is_secret(name.trim_start_matches('-')) {
                next = Some(None);
            }
        } else if arg == "login" && LOGIN.contains(&program) {
            known.push(("-p", Form::Either, None));
        } else if let Some(name) = known_program(arg) {
            (program, known) = (name, flags(name));
        }
        None
    };
    args.iter().map(AsRef::as_ref).map(value).collect()
}

fn is_long_flag(arg: &str) -> bool {
    arg.len() > 2 && arg.starts_with("--")
}

/// Whether it is several short flags in one, of which the last is that one.
fn ends_bundle(arg: &str, flag: &str) -> bool {
    let (Some(letters), Some(flag)) = (arg.strip_prefix('-'), flag.strip_prefix('-')) else {
        return false;
    };
    flag.len() == 1
        && matches!(letters.len(), 2..=8)
        && letters.ends_with(flag)
        && !letters.starts_with(flag)
        && letters.bytes().all(|it| it.is_ascii_alphabetic())
}

/// The program's name, if it has flags of its own. Not only the first argument can be one: `sudo mysql`, `sh -c 'mysql …'`.
fn known_program(arg: &str) -> Option<&str> {
    let name = arg.rsplit('/').next()?;
    let known = PROGRAMS
        .iter()
        .any(|(programs, ..)| programs.contains(&name))
        || LOGIN.contains(&name)
        || PLAIN.contains(&name);
    known.then_some(name)
}

/// The program's flags.
fn flags(program: &str) -> Vec<Flag> {
    PROGRAMS
        .iter()
        .filter(|(programs, ..)| programs.contains(&program))
        .flat_map(|(_, flags, form, after)| flags.iter().map(|flag| (*flag, *form, *after)))
        .collect()
}

/// The secret in a value that begins at `start`: all of it, or what comes after that character.
fn secret(arg: &str, start: usize, after: Option<char>) -> Option<Range<usize>> {
    let start = match after {
        None => start,
        Some(c) => start + arg.get(start..)?.find(c)? + c.len_utf8(),
    };
    Some(start..arg.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret in the arguments that follow the program, each with its argument's number.
    fn check(command: &str, expect: &[&str]) {
        let args: Vec<&str> = command.split(' ').collect();
        let found = values(&args, &Names::default());
        let found = args.iter().zip(found);
        let found: Vec<_> = found.filter_map(|(arg, range)| arg.get(range?)).collect();
        assert_eq!(found, expect, "{command}");
    }

    #[test]
    fn flags_that_name_a_secret() {
        check("app --password hunter2 --port 1", &["hunter2"]);
        check("app -token abc --api-key def", &["abc", "def"]);
        check("app --password -x", &["-x"]);
        check("app --password --host db", &[]);
        check("app --password", &[]);
        check("app --password=x y", &[]);
        check("app --password-file /run/x --user joe", &[]);
    }

    #[test]
    fn programs() {
        check("/usr/bin/mysql -u root -phunter2 db", &["hunter2"]);
        check("mysql -p db", &[]);
        check("mysql --port 3306 --protocol tcp", &[]);
        check("sudo -u joe mysqldump -phunter2", &["hunter2"]);
        check("sshpass -p hunter2 ssh -p 22 host", &["hunter2"]);
        check("sshpass -phunter2 ssh host", &["hunter2"]);
        check("ssh -p 22 host", &[]);
        check("curl -u joe:hunter2 https://x", &["hunter2"]);
        check(
            "curl -ujoe:hunter2 --proxy-user a:b https://x",
            &["hunter2", "b"],
        );
        check("curl -u joe https://x", &[]);
        check("curl -sSu joe:hunter2 https://x", &["hunter2"]);
        check("curl -sS a:b https://x", &[]);
        check("http -a joe:hunter2 example.org", &["hunter2"]);
        check("mysqlcheck -uroot -phunter2 db", &["hunter2"]);
        check("redis-cli -h db -a hunter2 get x", &["hunter2"]);
        check("smbclient -U joe%hunter2 //x/y", &["hunter2"]);
        check("docker login -u joe -p hunter2 registry", &["hunter2"]);
        check("docker run -p 80:80 nginx", &[]);
        check("helm registry login -p hunter2 x", &["hunter2"]);
        check("xfreerdp /v:host /p:hunter2", &["hunter2"]);
        check(
            "nmcli device wifi connect home password hunter2",
            &["hunter2"],
        );
        check("openssl enc -k hunter2 -in x", &["hunter2"]);
        check("mysqlsh -uroot -phunter2 -P 3306", &["hunter2"]);
        check("cqlsh -u joe -p hunter2 host", &["hunter2"]);
    }
}
