//! Results of which nobody knows the columns before: several in one output.
//!
//! JSON has them in a list, each with its `columns` and `rows`; JSON lines have an object a row;
//! CSV and tables come one after the other, with an empty line between.

use serde_json::{Map, Value};

use super::grid::{Cell, Grid};
use super::report::{Error, json as json_of, schema};
use super::{Format, Output, Paint, csv};

/// Open results.
pub struct ResultStream<'o, 'a> {
    output: &'o mut Output<'a>,
    results: u64,
    rows: u64,
    columns: Vec<String>,
    grid: Option<Grid>,
}

impl<'o, 'a> ResultStream<'o, 'a> {
    /// Opens them: `{"schema", .. head .., "results": [` in JSON.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn open(output: &'o mut Output<'a>, command: &str, head: &Value) -> Result<Self, Error> {
        output.has_stream = true;
        let mut fields = Map::new();
        fields.insert("schema".to_owned(), schema(command).into());
        if let Value::Object(head) = json_of(head)? {
            fields.extend(head);
        }
        let head = Value::Object(fields).to_string();
        match output.format {
            Format::Json => {
                let open = head.strip_suffix('}').unwrap_or(&head);
                write!(output.to, "{open},\"results\":[")?;
            }
            Format::Jsonl => writeln!(output.to, "{head}")?,
            Format::Csv | Format::Table => {}
        }
        Ok(Self { output, results: 0, rows: 0, columns: Vec::new(), grid: None })
    }

    /// Begins a result.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn begin(&mut self, columns: Vec<String>) -> Result<(), Error> {
        self.end()?;
        let is_first = self.results == 0;
        self.results += 1;
        self.rows = 0;
        let to = &mut *self.output.to;
        match self.output.format {
            Format::Json => {
                to.write_all(if is_first { b"\n" } else { b",\n" })?;
                to.write_all(b"{\"columns\":")?;
                serde_json::to_writer(&mut *to, &columns)?;
                to.write_all(b",\"rows\":[")?;
            }
            Format::Jsonl => {}
            Format::Csv => {
                to.write_all(if is_first { b"" } else { b"\n" })?;
                csv::line(to, &columns)?;
            }
            Format::Table => {
                to.write_all(if is_first { b"" } else { b"\n" })?;
                self.grid = Some(Grid::new(&columns));
            }
        }
        self.columns = match self.output.format {
            Format::Jsonl => distinct(columns),
            Format::Json | Format::Csv | Format::Table => columns,
        };
        Ok(())
    }

    /// Writes a row: `values` for programs, `cells` for people.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn row(
        &mut self,
        values: impl FnOnce() -> Vec<Value>,
        cells: impl FnOnce() -> Vec<Cell>,
    ) -> Result<(), Error> {
        let is_first = self.rows == 0;
        self.rows += 1;
        let to = &mut *self.output.to;
        match self.output.format {
            Format::Json => {
                to.write_all(if is_first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(to, &values())?;
            }
            Format::Jsonl => {
                let fields: Map<String, Value> =
                    self.columns.iter().cloned().zip(values()).collect();
                serde_json::to_writer(&mut *to, &fields)?;
                to.write_all(b"\n")?;
            }
            Format::Csv => {
                csv::line(to, values().iter().map(|value| csv::cell(Some(value))))?;
            }
            Format::Table => {
                if let Some(grid) = &mut self.grid {
                    grid.row(&cells())?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.results > 0 && self.output.format == Format::Json {
            self.output.to.write_all(if self.rows > 0 { b"\n]}" } else { b"]}" })?;
        }
        if let Some(grid) = self.grid.take() {
            let paint = Paint::new(self.output.color).with_charset(self.output.charset);
            grid.draw(self.output.to, &paint, self.output.width_columns)?;
        }
        Ok(())
    }

    /// Ends the last result, and the document.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()?;
        if self.output.format == Format::Json {
            self.output.to.write_all(b"\n]}\n")?;
        }
        Ok(self.output.to.flush()?)
    }
}

/// The names of columns as fields of an object: one that was there before gets a number, as in a
/// subquery of SQLite's.
fn distinct(columns: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        let mut number = 0;
        while names.contains(&name) {
            number += 1;
            name = format!("{column}:{number}");
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(format: Format) -> String {
        let mut text = Vec::new();
        let mut output = Output::new(&mut text, format);
        let mut stream = ResultStream::open(&mut output, "query", &json!({"wal": "x"})).unwrap();
        for (columns, rows) in [(["a", "a"], vec![[json!(1), Value::Null]]), (["b", "c"], vec![])] {
            stream.begin(columns.map(str::to_owned).to_vec()).unwrap();
            for row in rows {
                let cells = || row.iter().map(|it| Cell { text: it.to_string(), is_number: true });
                stream.row(|| row.to_vec(), || cells().collect()).unwrap();
            }
        }
        stream.close().unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_format_has_both_results() {
        let document: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        let results = json!([
            {"columns": ["a", "a"], "rows": [[1, null]]},
            {"columns": ["b", "c"], "rows": []},
        ]);
        assert_eq!((&document["results"], &document["wal"]), (&results, &json!("x")));
        let lines = written(Format::Jsonl);
        assert_eq!(lines.lines().nth(1), Some(r#"{"a":1,"a:1":null}"#), "{lines}");
        assert_eq!(written(Format::Csv), "a,a\n1,\n\nb,c\n");
        assert!(written(Format::Table).contains("─\n\n─"));
    }
}
