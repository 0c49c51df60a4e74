//! The row streams of frame-list and txn-list, byte for byte, against the renderers that every
//! other report uses: serde_json, the csv crate, and `format!` for the table.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{copy, names};

fn printed(args: &[&str], format: &str, path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walsmith"));
    command.args(args).args(["--format", format]).arg(path);
    let output = command.env("LC_ALL", "C.UTF-8").env_remove("COLUMNS").output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?} {}", path.display());
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of the JSON document, which must be laid out as it is since its first version.
fn rows(args: &[&str], list: &str, path: &Path) -> Vec<Value> {
    let text = printed(args, "json", path);
    let document: Value = serde_json::from_str(&text).unwrap();
    let rows = document[list].as_array().unwrap().clone();
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let (schema, wal) = (&document["schema"], &document["wal"]);
    let first = if rows.is_empty() { "" } else { "\n" };
    let body = lines.join(",\n");
    let wanted = format!("{{\"schema\":{schema},\"wal\":{wal},\"{list}\":[{first}{body}\n]}}\n");
    assert_eq!(text, wanted);
    assert_eq!(
        printed(args, "jsonl", path),
        format!("{{\"schema\":{schema},\"wal\":{wal}}}\n")
            + &lines.iter().map(|l| format!("{l}\n")).collect::<String>()
    );
    rows
}

fn csv_of(rows: &[Value]) -> String {
    let mut text = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        // A writer of its own for each: the last row of a cut log has no digest.
        let mut writer = csv::Writer::from_writer(&mut text);
        let row = row.as_object().unwrap();
        if index == 0 {
            writer.write_record(row.keys()).unwrap();
        }
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writer.write_record(row.values().map(cell)).unwrap();
    }
    String::from_utf8(text).unwrap()
}

/// Lines of a table: `columns` are heading, width, and whether a cell is on the left.
fn table_of(columns: &[(&str, usize, bool)], rows: &[Vec<String>]) -> String {
    let width = |&(head, width, _): &(&str, usize, bool)| width.max(head.len());
    let line = |cells: &[String]| {
        let cells =
            columns.iter().zip(cells).map(|(column, cell)| match (width(column), column.2) {
                (width, true) => format!(" {cell:<width$} "),
                (width, false) => format!(" {cell:>width$} "),
            });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    let total: usize = columns.iter().map(|column| width(column) + 2).sum();
    let rule = |dash: &str| format!("{}\n", dash.repeat(total));
    let heads: Vec<String> = columns.iter().map(|column| column.0.to_owned()).collect();
    let body: String = rows.iter().map(|cells| line(cells)).collect();
    format!("{}{}{}{body}{}", rule("─"), line(&heads), rule("═"), rule("─"))
}

fn shown(value: &Value, missing: &str) -> String {
    match value {
        Value::Null => missing.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn hex(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), |word| format!("{word:08x}"))
}

#[test]
fn frames_are_printed_as_the_other_renderers_print_them() {
    let cases: [&[&str]; 4] =
        [&[], &["--all"], &["--all", "--digest"], &["--all", "--digest", "--wide"]];
    for name in names() {
        let (_folder, database) = copy(&name);
        let wal_bytes = std::fs::metadata(database.with_file_name("x.db-wal")).unwrap().len();
        for options in cases {
            let args = [&["frame-list", "--no-trees"], options].concat();
            let rows = rows(&args, "frames", &database);
            if rows.is_empty() {
                continue;
            }
            assert_eq!(printed(&args, "csv", &database), csv_of(&rows), "{name} {args:?}");
            let digits = slots(&database).to_string().len();
            let mut columns = vec![
                ("frame", digits, false),
                ("offset", wal_bytes.to_string().len(), false),
                ("page", 8, false),
                ("txn", digits, false),
                ("commit size", 11, false),
                ("state", 11, true),
                ("gen", 3, false),
                ("page kind", 14, true),
            ];
            let mut cells: Vec<Vec<String>> = Vec::new();
            let (wide, digest) = (args.contains(&"--wide"), args.contains(&"--digest"));
            for row in &rows {
                let keys = ["frame", "offset_bytes", "page", "txn", "commit_size_pages", "state"];
                let missing = |key: &str| if key == "commit_size_pages" { "" } else { "-" };
                let mut line: Vec<String> =
                    keys.iter().map(|&key| shown(&row[key], missing(key))).collect();
                line.extend([shown(&row["generation"], "-"), shown(&row["page_kind"], "-")]);
                if wide {
                    line.push(format!("{} {}", hex(&row["salt1"]), hex(&row["salt2"])));
                    line.push(format!("{} {}", hex(&row["checksum1"]), hex(&row["checksum2"])));
                }
                if digest {
                    line.push(hex(&row["crc32"]));
                }
                cells.push(line);
            }
            if wide {
                columns.extend([("salts", 17, true), ("checksum", 17, true)]);
            }
            if digest {
                columns.push(("crc32", 8, true));
            }
            let wanted = table_of(&columns, &cells);
            assert_eq!(printed(&args, "table", &database), wanted, "{name} {args:?}");
        }
    }
}

/// Whole slots of the log beside `database`.
fn slots(database: &Path) -> usize {
    let output = printed(&["verify-checksums"], "json", database);
    let document: Value = serde_json::from_str(&output).unwrap();
    usize::try_from(document["files"][0]["slot_frames"].as_u64().unwrap()).unwrap()
}

#[test]
fn transactions_are_printed_as_the_other_renderers_print_them() {
    const LIST: [&str; 2] = ["txn-list", "--no-tables"];
    let heads = ["txn", "first frame", "last frame", "frames", "pages", "db pages"];
    // No number of the fixtures is wider than its heading.
    let columns = heads.map(|head| (head, 0, false));
    for name in names() {
        let (_folder, database) = copy(&name);
        let rows = rows(&LIST, "transactions", &database);
        if !rows.is_empty() {
            assert_eq!(printed(&LIST, "csv", &database), csv_of(&rows), "{name}");
        }
        let cells = |row: &Value| {
            row.as_object().unwrap().values().take(6).map(|v| shown(v, "-")).collect()
        };
        let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
        assert_eq!(printed(&LIST, "table", &database), table_of(&columns, &cells), "{name}");
    }
}
