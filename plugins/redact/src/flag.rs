//! Finds secrets in arguments by the flag before them (`--password x`) or by the program's flags (`mysql -px`, `curl -u user:x`).
//! `text.rs` finds secrets within one text.

use std::ops::Range;

use crate::name::Names;

/// Where the value of a flag is.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// In the same argument: `-px`.
    Attached,
    /// In the next argument: `-p x`.
    Next,
    /// In either place.
    Either,
}

/// A flag, its form, and the character in the value after which the secret starts.
type Flag = (&'static str, Form, Option<char>);

/// Programs, flags, form, and the character in the value after which the secret starts.
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

/// Programs in which `-p` is a password after the command `login`. In other commands `-p` is a port.
const LOGIN_PROGRAMS: &[&str] = &[
    "docker", "podman", "nerdctl", "skopeo", "buildah", "helm", "oras", "az",
];

/// Programs that the programs above may start, and whose short flags are not secrets.
const HARMLESS_PROGRAMS: &[&str] = &["ssh", "scp", "sftp", "rsync"];

/// For each argument, the part that is a secret according to its flag or the argument before it.
pub(crate) fn values(args: &[impl AsRef<str>], names: &Names) -> Vec<Option<Range<usize>>> {
    let mut program = "";
    let mut known: Vec<Flag> = vec![];
    let mut next: Option<Option<char>> = None;
    let value = |arg| {
        // A long flag is not a value: in `--password --host db`, the flag `--password` has none.
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
            // `-sSu joe:x` means `-s -S -u joe:x`. Only for values with a name before the secret: others are ambiguous.
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
            // `text.rs` handles a value in the same argument.
            if !arg.contains(['=', ':', ' ']) && names.is_secret(name.trim_start_matches('-')) {
                next = Some(None);
            }
        } else if arg == "login" && LOGIN_PROGRAMS.contains(&program) {
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

/// Whether the argument combines several short flags, and `flag` is the last of them.
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

/// The name of the program, if it is in one of the lists. Any argument may be a program: `sudo mysql`, `sh -c 'mysql …'`.
fn known_program(arg: &str) -> Option<&str> {
    let name = arg.rsplit('/').next()?;
    let known = PROGRAMS
        .iter()
        .any(|(programs, ..)| programs.contains(&name))
        || LOGIN_PROGRAMS.contains(&name)
        || HARMLESS_PROGRAMS.contains(&name);
    known.then_some(name)
}

/// The flags of a program that take secrets.
fn flags(program: &str) -> Vec<Flag> {
    PROGRAMS
        .iter()
        .filter(|(programs, ..)| programs.contains(&program))
        .flat_map(|(_, flags, form, after)| flags.iter().map(|flag| (*flag, *form, *after)))
        .collect()
}

/// The secret in a value that starts at `start`: all of the value, or the part after the character `after`.
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

    /// Checks which parts of a command are secrets.
    fn check(command: &str, expect: &[&str]) {
        let args: Vec<&str> = command.split(' ').collect();
        let found = values(&args, &Names::default());
        let found = args.iter().zip(found);
        let found: Vec<_> = found.filter_map(|(arg, range)| arg.get(range?)).collect();
        assert_eq!(found, expect, "{command}");
    }

    #[test]
    fn a_flag_with_the_name_of_a_secret_takes_one() {
        check("app --password hunter2 --port 1", &["hunter2"]);
        check("app -token abc --api-key def", &["abc", "def"]);
        check("app --password -x", &["-x"]);
        check("app --password --host db", &[]);
        check("app --password", &[]);
        check("app --password=x y", &[]);
        check("app --password-file /run/x --user joe", &[]);
    }

    #[test]
    fn flags_of_known_programs_take_secrets() {
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
