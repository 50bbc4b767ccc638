//! The matrix in `docs/reliability/matrix.md`, which follows from the cases.

use std::fmt::Write as _;

use crate::case::{Case, Expect, Place};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability/matrix.md");
const BEGIN: &str = "<!-- cases: begin -->\n";
const END: &str = "<!-- cases: end -->\n";

/// Compares the document with the cases, or with `UPDATE_DOCS=1` writes them into it.
pub fn check(cases: &[Case]) -> Result<(), String> {
    let document = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}{}{END}{after}", matrix(cases)))
    });
    let wanted = parts.ok_or_else(|| format!("{FILE} has no place for the cases"))?;
    if wanted == document {
        Ok(())
    } else if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, wanted).map_err(|error| format!("{FILE}: {error}"))
    } else {
        Err(format!("{FILE} lists other cases: run UPDATE_DOCS=1 cargo test --test faults matrix"))
    }
}

/// A table for each place.
fn matrix(cases: &[Case]) -> String {
    let mut text = String::new();
    for place in Place::ALL {
        let own: Vec<_> = cases.iter().filter(|case| case.place == place).collect();
        let _ = writeln!(text, "\n### {}: {} cases\n", place.title(), own.len());
        let _ = writeln!(text, "| fault | the log says |\n|---|---|");
        for case in own {
            let told = match &case.expect {
                Expect::Fails(ids) => {
                    let ids: Vec<_> = ids.iter().map(|id| format!("`{id}`")).collect();
                    let ids = ids.join(" or ");
                    let is_known = !ids.contains("unknown");
                    let quoted: Vec<_> =
                        case.quotes.iter().map(|quoted| format!("\"{quoted}\"")).collect();
                    if is_known { ids } else { format!("{ids}: {}", quoted.join(" or ")) }
                }
                Expect::FailsEach(words) => (*words).to_owned(),
                Expect::Masked => "no failure".to_owned(),
                Expect::Ends if case.fault.starts_with("SIGKILL") => "nothing more".to_owned(),
                Expect::Ends => "`ended`".to_owned(),
            };
            let _ = writeln!(text, "| {} | {told} |", case.fault);
        }
    }
    text.push('\n');
    text
}
