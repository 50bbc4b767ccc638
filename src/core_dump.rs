//! No core dump: credentials and tokens are in the program's memory.

/// Switches core dumps off, and denies other processes of the same user access to the memory. Where the
/// system refuses that, the program runs all the same.
pub fn keep_secrets_out_of_core_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit,
        };

        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // The limit does not hold for a program to which the kernel pipes the dump.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
