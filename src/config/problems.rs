//! Problems with settings, which are told together.

/// What is wrong with the settings, one line for each problem.
pub(crate) struct Problems(pub(crate) Vec<String>);

impl Problems {
    pub(crate) fn note<T>(&mut self, setting: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|why| self.0.push(format!("{setting}: {why}"))).ok()
    }

    /// The value. After a problem it is a default, with which the program does not run.
    pub(crate) fn take<T: Default>(&mut self, setting: &str, checked: Result<T, String>) -> T {
        self.note(setting, checked).unwrap_or_default()
    }
}
