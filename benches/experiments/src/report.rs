//! The report of an experiment, and its files.

use std::fmt::Write;
use std::fs;

use crate::Failure;
use crate::context::Context;
use crate::plot::Plot;
use crate::table::Table;

/// One experiment's outcome.
pub(crate) struct Report {
    /// The name of its files, without the ending.
    pub(crate) name: &'static str,
    /// The question, as a heading.
    pub(crate) question: &'static str,
    /// The method, in a few sentences.
    pub(crate) method: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
    /// The answer, in two sentences.
    pub(crate) answer: String,
}

impl Report {
    /// Writes the page, the tables and the plots into the output directory.
    pub(crate) fn write(&self, context: &Context) -> Result<(), Failure> {
        fs::create_dir_all(&context.out)?;
        let file = |name: &str, ending: &str| context.out.join(format!("{name}.{ending}"));
        for table in &self.tables {
            fs::write(file(table.name, "csv"), table.csv())?;
        }
        for plot in &self.plots {
            fs::write(file(plot.name, "svg"), plot.svg()?)?;
        }
        fs::write(file(self.name, "md"), self.page(context))?;
        Ok(())
    }

    /// The section of the page.
    fn page(&self, context: &Context) -> String {
        let Report { name, question, method, answer, .. } = self;
        let mut text = format!("## {question}\n\n{answer}\n\n");
        for plot in &self.plots {
            let _ = writeln!(text, "![{}]({}.svg)\n", plot.title, plot.name);
        }
        for table in &self.tables {
            let _ = writeln!(text, "{}\n\n{}", table.caption, table.markdown());
        }
        let _ = writeln!(text, "*How*: `cargo run --release -p experiments -- {name}`. {method}\n");
        let _ = writeln!(text, "*Machine*: {}", context.machine);
        if context.quick {
            text += "\n**Measured for a moment only (`--quick`): these figures are no evidence.**\n";
        }
        text
    }
}
