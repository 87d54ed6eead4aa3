//! `jvm.config`: the heap from the memory, the flags of Trino's deployment guide by release, and the user's own over them.

use super::RenderError;
use crate::{api::Jvm, desired::quantity, trino::release};

const DEFAULT_HEAP_PERCENT: u64 = 70;
/// The least share of the heap, where nothing else is asked for.
const LEAST_HEAP_PERCENT: u64 = 50;
/// What a JVM with Trino takes beside its heap, however small that is: classes, compiled code (150 MiB), threads, buffers. With
/// less, the kernel killed workers of 1 GiB that spoke TLS under load.
const BESIDE_HEAP: u64 = 450 << 20;
/// Up to this heap a serial collector is smaller and no slower.
const SMALL_HEAP_MIB: u64 = 4096;
/// The first release that does not start without the Vector API (trinodb/trino pull request 27340).
const NEEDS_VECTOR_API: u32 = 479;

/// Flags that choose a garbage collector: two of them keep a JVM from starting.
const COLLECTORS: [&str; 6] = ["UseSerialGC", "UseG1GC", "UseParallelGC", "UseZGC", "UseShenandoahGC", "UseEpsilonGC"];

/// The text of `jvm.config` for a container with so much `memory`, a quantity.
pub(super) fn config(
    component: &'static str,
    version: &str,
    memory: &str,
    jvm: Option<&Jvm>,
) -> Result<String, RenderError> {
    let bytes = quantity::bytes(memory).map_err(|fault| RenderError::Memory { component, fault })?;
    let percent = jvm.and_then(|jvm| jvm.heap_percent).and_then(|percent| u64::try_from(percent).ok());
    let heap_mib = percent.map_or_else(|| default_heap(bytes), |percent| share(bytes, percent)) >> 20;
    let own = jvm.map_or(&[][..], |jvm| &jvm.flags);
    if let Some(flag) = twice(own) {
        return Err(RenderError::Flag { component, flag });
    }
    let chosen: Vec<&str> = own.iter().map(|flag| name(flag)).collect();
    let collector = chosen.iter().any(|name| COLLECTORS.contains(name));
    let mut flags = vec!["-server".to_owned(), format!("-Xmx{heap_mib}M")];
    let kept = |flag: &&str| {
        let name = name(flag);
        !chosen.contains(&name) && !(collector && (COLLECTORS.contains(&name) || name == "G1HeapRegionSize"))
    };
    flags.extend(defaults(version, heap_mib).into_iter().filter(kept).map(str::to_owned));
    flags.extend(own.iter().cloned());
    Ok(flags.join("\n") + "\n")
}

/// The heap for so many bytes of memory.
fn default_heap(memory: u64) -> u64 {
    let heap = share(memory, DEFAULT_HEAP_PERCENT).min(memory.saturating_sub(BESIDE_HEAP));
    heap.max(share(memory, LEAST_HEAP_PERCENT))
}

/// Tenths first, as ever: what was rendered before must not differ by a megabyte.
fn share(memory: u64, percent: u64) -> u64 {
    memory / 10 * percent / 10
}

/// Those of Trino's deployment guide (476), fitted to small heaps.
fn defaults(version: &str, heap_mib: u64) -> Vec<&'static str> {
    let for_size: &[&str] = if heap_mib < SMALL_HEAP_MIB {
        &["-XX:+UseSerialGC", "-XX:ReservedCodeCacheSize=150M"]
    } else {
        &[
            "-XX:+UseG1GC",
            "-XX:G1HeapRegionSize=32M",
            "-XX:+ExplicitGCInvokesConcurrent",
            "-XX:ReservedCodeCacheSize=512M",
        ]
    };
    let for_all = [
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-XX:PerMethodRecompilationCutoff=10000",
        "-XX:PerBytecodeRecompilationCutoff=10000",
        "-Djdk.attach.allowAttachSelf=true",
        "-Djdk.nio.maxCachedBufferSize=2000000",
        "-Dfile.encoding=UTF-8",
        "-XX:+EnableDynamicAgentLoading",
    ];
    let mut flags: Vec<_> = for_size.iter().chain(&for_all).copied().collect();
    if release(version).is_some_and(|release| release >= NEEDS_VECTOR_API) {
        flags.push("--add-modules=jdk.incubator.vector");
    }
    flags
}

/// What a flag sets, without its value: `UseZGC` of `-XX:+UseZGC` and of `-XX:-UseZGC`, `-Da` of `-Da=b`, `-Xms` of `-Xms1G`.
fn name(flag: &str) -> &str {
    let (whole, value) = flag.split_once('=').map_or((flag, ""), |(name, value)| (name, value));
    if let Some(option) = whole.strip_prefix("-XX:") {
        return option.trim_start_matches(['+', '-']);
    }
    if let Some(size) = ["-Xms", "-Xmn", "-Xss"].into_iter().find(|size| flag.starts_with(size)) {
        return size;
    }
    // These may stand several times, each with another value.
    let repeats = ["--add-", "--enable-native-access", "-agentlib:", "-agentpath:", "-javaagent:", "-Xlog:"];
    if value.is_empty() || repeats.iter().any(|prefix| flag.starts_with(prefix)) { flag } else { whole }
}

/// The name of a flag that is given twice: which of both counts is not for Warren to guess.
fn twice(flags: &[String]) -> Option<String> {
    let mut names: Vec<_> = flags.iter().map(|flag| name(flag)).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(version: &str, memory: &str, heap_percent: Option<i32>, own: &[&str]) -> Result<Vec<String>, String> {
        let jvm = Jvm { heap_percent, flags: own.iter().map(|&flag| flag.to_owned()).collect() };
        let text = config("workers", version, memory, Some(&jvm)).map_err(|error| error.to_string())?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn the_heap_is_its_share_of_the_memory() {
        assert!(flags("476", "10Gi", None, &[]).unwrap().contains(&"-Xmx7168M".to_owned()));
        assert!(flags("476", "10Gi", Some(80), &[]).unwrap().contains(&"-Xmx8192M".to_owned()));
        assert!(flags("476", "1Gi", Some(45), &[]).unwrap().contains(&"-Xmx460M".to_owned()));
    }

    #[test]
    fn a_small_pod_keeps_memory_for_what_a_jvm_needs_beside_its_heap() {
        for (memory, heap) in
            [("512Mi", 255), ("1Gi", 574), ("1200Mi", 750), ("1500Mi", 1050), ("1536Mi", 1075), ("2Gi", 1433)]
        {
            assert_eq!(flags("476", memory, None, &[]).unwrap()[1], format!("-Xmx{heap}M"), "{memory}");
        }
        assert_eq!(flags("476", "1Gi", Some(70), &[]).unwrap()[1], "-Xmx716M", "what the user asks for counts");
    }

    #[test]
    fn a_flag_of_the_user_takes_the_place_of_warrens_own() {
        let flags = flags("476", "16Gi", None, &["-XX:+UseZGC", "-XX:ReservedCodeCacheSize=1G", "-Dfile.encoding=x"]);
        let flags = flags.unwrap();
        let count = |part: &str| flags.iter().filter(|flag| flag.contains(part)).count();
        assert_eq!([count("UseG1GC"), count("G1HeapRegionSize"), count("UseZGC")], [0, 0, 1]);
        assert_eq!([count("ReservedCodeCacheSize"), count("file.encoding")], [1, 1]);
        assert!(flags.contains(&"-XX:ReservedCodeCacheSize=1G".to_owned()));
    }

    #[test]
    fn a_flag_given_twice_is_refused_by_its_name() {
        for (own, name) in
            [(["-XX:+UseZGC", "-XX:-UseZGC"], "UseZGC"), (["-Xms1G", "-Xms2G"], "-Xms"), (["-Da=1", "-Da=2"], "-Da")]
        {
            let error = flags("476", "4Gi", None, &own).unwrap_err();
            assert_eq!(error, format!("spec.workers.jvm.flags: {name} is given twice; keep one of both"));
        }
        let several =
            ["--add-opens=a/b=ALL-UNNAMED", "--add-opens=a/c=ALL-UNNAMED", "-javaagent:a=b", "-javaagent:c=d"];
        assert!(flags("476", "4Gi", None, &several).is_ok());
    }

    #[test]
    fn a_release_that_needs_a_flag_has_it() {
        let vector = "--add-modules=jdk.incubator.vector".to_owned();
        assert!(flags("479", "4Gi", None, &[]).unwrap().contains(&vector));
        assert!(!flags("476", "4Gi", None, &[]).unwrap().contains(&vector));
    }
}
