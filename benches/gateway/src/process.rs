//! Processes under measurement: started on a core of their own, read through /proc, and stopped when their value is
//! dropped. Linux only.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};

/// The unit in which /proc/PID/stat counts: 100 a second on every architecture that Linux tells users about.
const TICK: Duration = Duration::from_millis(10);

/// How long a process may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a process cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} cannot be started")]
    Start(PathBuf, #[source] io::Error),
    #[error("core {0} cannot be used")]
    Core(usize, #[source] io::Error),
    #[error("{0} cannot be read or written")]
    File(PathBuf, #[source] io::Error),
    #[error("{0} says something unknown")]
    Unknown(PathBuf),
}

/// A running program with all of its children.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub now: u64,
    /// The most since the start, or since it was [forgotten](Process::forget_peak).
    pub peak: u64,
}

/// Lets this process, and what it starts from now on, run on `core` alone.
///
/// # Errors
/// When there is no such core.
pub fn stay_on(core: usize) -> Result<(), Error> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| Error::Core(core, error.into()))
}

impl Process {
    /// Starts `command` on `core`, with its output in `log`; this process goes back to `home`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path, (core, home): (usize, usize)) -> Result<Self, Error> {
        let file = |error| Error::File(log.to_owned(), error);
        let out = fs::File::options().create(true).append(true).open(log).map_err(file)?;
        let program = PathBuf::from(command.get_program());
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(file)?).stderr(out);
        // A child inherits the core of who starts it, and so do its threads, from its first instruction on.
        stay_on(core)?;
        let started = command.spawn().map_err(|error| Error::Start(program, error));
        stay_on(home)?;
        Ok(Self { child: started? })
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The time that it and its children have used a core, in user and kernel mode.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn cpu(&self) -> Result<Duration, Error> {
        self.tree()?.into_iter().map(|pid| Ok(stat(&proc_file(pid, "stat"))?.cpu)).sum()
    }

    /// Its memory and its children's.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn memory(&self) -> Result<Memory, Error> {
        let mut sum = Memory::default();
        for pid in self.tree()? {
            let path = proc_file(pid, "status");
            let status = read(&path)?;
            let field = |name| kibibytes(&status, name).ok_or_else(|| Error::Unknown(path.clone()));
            sum.now += field("VmRSS:")?;
            sum.peak += field("VmHWM:")?;
        }
        Ok(sum)
    }

    /// Lets the peak of the memory begin anew.
    ///
    /// # Errors
    /// When /proc cannot be written.
    pub fn forget_peak(&self) -> Result<(), Error> {
        for pid in self.tree()? {
            let path = proc_file(pid, "clear_refs");
            fs::write(&path, "5").map_err(|error| Error::File(path, error))?;
        }
        Ok(())
    }

    /// The process and all below it.
    fn tree(&self) -> Result<Vec<u32>, Error> {
        let all = fs::read_dir("/proc").map_err(|error| Error::File("/proc".into(), error))?;
        let parents: Vec<(u32, u32)> = all
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            // One that ends while the list is read is not among ours.
            .filter_map(|pid| Some((pid, stat(&proc_file(pid, "stat")).ok()?.parent)))
            .collect();
        let mut tree = vec![self.child.id()];
        let mut at = 0;
        while let Some(&parent) = tree.get(at) {
            tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
            at += 1;
        }
        Ok(tree)
    }
}

impl Drop for Process {
    /// Asks it to end, and makes it end. A master tells its children only when it is asked.
    fn drop(&mut self) {
        let ask = |child: &Child| kill_process(Pid::from_child(child), Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while !self.has_ended() && Instant::now() < until && ask(&self.child).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn proc_file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::File(path.to_owned(), error))
}

fn stat(path: &Path) -> Result<Stat, Error> {
    parsed(&read(path)?).ok_or_else(|| Error::Unknown(path.to_owned()))
}

/// Reads /proc/PID/stat (proc_pid_stat(5)); the program's name, which may hold anything, ends at the last parenthesis.
fn parsed(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // The field after the name is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    let ticks = field(14)?.checked_add(field(15)?)?;
    Some(Stat { parent: field(4)?, cpu: TICK * ticks })
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_those_of_its_manual() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194304 100 0 0 0 250 150 9 9 20 0 1 0 5 1 1";
        let stat = parsed(text).unwrap();
        assert_eq!((stat.parent, stat.cpu), (7, Duration::from_secs(4)));
        assert!(parsed("42 (a) S 7").is_none());
        assert_eq!(kibibytes("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 8 kB\n", "VmRSS:"), Some(8192));
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), None);
    }
}
