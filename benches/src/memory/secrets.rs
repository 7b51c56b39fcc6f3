//! The secret scan on labeled texts.

use std::fmt::Write as _;

use lar_text::secrets;

use super::labeled::{LabeledSet, shows_misses, text};
use crate::progress::progress;

pub(crate) fn measure() -> anyhow::Result<String> {
    let mut table = String::from(
        "Labeled texts with and without secrets. *Machine*: keys, tokens and connection strings as programs\n\
         write them. *Stated*: passwords and codes in people's own words.\n\n\
         | set | machine: found | stated: found | false alarms |\n|---|---|---|---|\n",
    );
    for set in LabeledSet::all()? {
        let items = set.secrets()?;
        if items.is_empty() {
            continue;
        }
        let (mut machine, mut stated, mut alarms) = ((0, 0), (0, 0), (0, 0));
        for item in items {
            let found = secrets::has_secret(text(&item, "text")?);
            let count = match text(&item, "made")? {
                "machine" => &mut machine,
                "told" => &mut stated,
                _ => &mut alarms,
            };
            if found != (item["secret"] == true) && shows_misses() {
                progress(&format!("{}: {}", item["made"], item["text"]));
            }
            *count = (count.0 + usize::from(found), count.1 + 1);
        }
        let share = |(part, all): (usize, usize)| part as f64 / all.max(1) as f64;
        writeln!(
            table,
            "| {} | {} of {}: **{:.2}** | {} of {}: **{:.2}** | {} of {}: **{:.3}** |",
            set.name,
            machine.0,
            machine.1,
            share(machine),
            stated.0,
            stated.1,
            share(stated),
            alarms.0,
            alarms.1,
            share(alarms)
        )?;
    }
    Ok(table)
}
