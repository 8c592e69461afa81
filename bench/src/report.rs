//! What is printed.

use hdrhistogram::Histogram;

use crate::cpu::Usage;

/// Latencies in microseconds, up to a minute.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

pub fn percentile_ms(histogram: &Histogram<u64>, percentile: f64) -> f64 {
    histogram.value_at_percentile(percentile) as f64 / 1000.0
}

/// A comparison with what was set out to be reached.
pub struct Target {
    name: String,
    value: f64,
    wanted: f64,
    at_most: bool,
}

/// Everything found: tables first, targets last.
#[derive(Default)]
pub struct Report {
    targets: Vec<Target>,
    faults: Vec<String>,
}

impl Report {
    pub fn table(&self, title: &str, head: &[&str], rows: &[Vec<String>]) {
        let width = |idx: usize| {
            let cells = rows.iter().filter_map(|row| row.get(idx)).map(|cell| cell.chars().count());
            cells.chain([head[idx].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let print = |cells: &mut dyn Iterator<Item = &str>| {
            let line: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("  {}", line.join("   ").trim_end());
        };
        println!("\n{title}");
        print(&mut head.iter().copied());
        for row in rows {
            print(&mut row.iter().map(String::as_str));
        }
    }

    pub fn at_least(&mut self, name: impl Into<String>, value: f64, wanted: f64) {
        self.targets.push(Target { name: name.into(), value, wanted, at_most: false });
    }

    pub fn at_most(&mut self, name: impl Into<String>, value: f64, wanted: f64) {
        self.targets.push(Target { name: name.into(), value, wanted, at_most: true });
    }

    /// Something was lost, doubled, or out of order.
    pub fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Prints the targets and the faults; whether there are none of the latter.
    pub fn finish(&self) -> bool {
        println!();
        for Target { name, value, wanted, at_most } in &self.targets {
            let reached = if *at_most { value <= wanted } else { value >= wanted };
            let (word, sign) = (if reached { "PASS" } else { "MISS" }, if *at_most { "≤" } else { "≥" });
            println!("{word} {name} {value:.2} {sign} {wanted}");
        }
        const MAX_SHOWN: usize = 20;
        for fault in self.faults.iter().take(MAX_SHOWN) {
            println!("BROKEN {fault}");
        }
        if self.faults.len() > MAX_SHOWN {
            println!("BROKEN … and {} more", self.faults.len() - MAX_SHOWN);
        }
        self.faults.is_empty()
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Of several rounds, the usage in sum.
pub fn sum(usages: impl IntoIterator<Item = Usage>) -> Usage {
    usages.into_iter().fold(Usage::default(), |sum, usage| Usage {
        elapsed: sum.elapsed + usage.elapsed,
        server: sum.server + usage.server,
        database: sum.database + usage.database,
        generator: sum.generator + usage.generator,
    })
}
