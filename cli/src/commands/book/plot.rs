//! Net asset value and backing over height, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use tapstake_ledger::Point;
use tapstake_params::Height;
use tapstake_restake::{PartsPerMillion, PoolId};

use super::{BookFile, name, refused};
use crate::error::{Error, Result};
use crate::file;
use crate::output::Show;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Plot {
    /// Write the drawing to this file; another drawing there is replaced
    #[arg(short, long, value_name = "FILE.svg")]
    out: PathBuf,
    /// Only this pool [default: all over stakes]
    #[arg(long, value_parser = name::<PoolId>)]
    pool: Option<PoolId>,
    #[command(flatten)]
    book: BookFile,
}

#[derive(Serialize)]
struct Drawn {
    file: PathBuf,
    pools: usize,
    points: usize,
}

impl Show for Drawn {
    fn text(&self) -> String {
        format!("{} pools, {} points: {}", self.pools, self.points, self.file.display())
    }
}

pub(crate) fn run(args: &Plot, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let points = ledger.points(args.pool.as_ref()).map_err(refused)?;
    if points.is_empty() {
        let what =
            args.pool.as_ref().map_or("the book has no pool".to_owned(), |pool| format!("no pool {pool}"));
        return Err(Error::rule("unknown-pool", what).next("tapstake book pool open opens one"));
    }
    // A drawing that is there may be one of ours; what is none stays.
    if args.out.exists() && !file::read(&args.out, MAX_DRAWING)?.starts_with(START.as_bytes()) {
        let message = format!("{} is there already, and is no drawing of a book", args.out.display());
        return Err(Error::rule("file", message).next("give another name, or move it away"));
    }
    let (text, pools) = draw(&points, ledger.book().height());
    file::replace(&args.out, text.as_bytes())?;
    session.out.show(&Drawn { file: args.out.clone(), pools, points: points.len() });
    Ok(())
}

const START: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tapstake-book\"";
/// More than any drawing takes.
const MAX_DRAWING: u64 = 256 << 20;

const WIDTH: i64 = 900;
const LEFT: i64 = 90;
const RIGHT: i64 = 20;
const PANEL: i64 = 200;
const TOP: i64 = 50;
const GAP: i64 = 60;
const COLOURS: [&str; 6] = ["#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e"];

/// Height and value, in the order of heights.
type Line = Vec<(u32, u32)>;

fn draw(points: &[Point], last: Height) -> (String, usize) {
    let (mut values, mut backing) = (BTreeMap::<&PoolId, Line>::new(), BTreeMap::<&PoolId, Line>::new());
    for point in points {
        let height = point.height.to_u32();
        let nav = u32::try_from(point.nav.millionths()).unwrap_or(u32::MAX);
        put(values.entry(&point.pool).or_default(), height, Some(PartsPerMillion::new(nav)));
        put(backing.entry(&point.pool).or_default(), height, point.backing_ratio_floor());
    }
    let first = points.first().map_or(0, |point| point.height.to_u32());
    let x = Scale { from: first.into(), to: i64::from(last.to_u32()).max(i64::from(first) + 1) };
    let rows = i64::try_from(values.len()).unwrap_or(0);
    let legend = TOP + 2 * PANEL + GAP + 50;
    let height = legend + 18 * rows + 10;
    let mut svg = format!(
        "{START} width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    panel(&mut svg, TOP, "net asset value of a share that opened at 1", &values, x, &decimal);
    panel(&mut svg, TOP + PANEL + GAP, "backing: reserves over receipts", &backing, x, &percent);
    for (row, pool) in (0..).zip(values.keys()) {
        let (y, colour) = (legend + 18 * row, colour(row));
        let name = escaped(pool.as_str());
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"24\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\">{name}</text>",
            y - 6,
            LEFT + 32
        );
    }
    svg.push_str("</svg>\n");
    (svg, values.len())
}

/// The last value at a height counts. One that does not exist leaves a gap.
fn put(line: &mut Line, height: u32, value: Option<PartsPerMillion>) {
    if line.last().is_some_and(|(last, _)| *last == height) {
        line.pop();
    }
    line.extend(value.map(|value| (height, value.to_u32())));
}

/// From values to pixels, in tenths.
#[derive(Clone, Copy)]
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    fn x(self, height: u32) -> i64 {
        let room = 10 * (WIDTH - LEFT - RIGHT);
        10 * LEFT + room * (i64::from(height) - self.from) / (self.to - self.from).max(1)
    }

    fn y(self, top: i64, value: i64) -> i64 {
        10 * (top + PANEL) - 10 * PANEL * (value - self.from) / (self.to - self.from).max(1)
    }
}

fn panel(
    svg: &mut String,
    top: i64,
    title: &str,
    lines: &BTreeMap<&PoolId, Line>,
    x: Scale,
    label: &dyn Fn(i64) -> String,
) {
    let all = || lines.values().flatten().map(|(_, value)| i64::from(*value));
    let (least, most) = (all().min().unwrap_or(0), all().max().unwrap_or(1_000_000));
    let margin = ((most - least) / 10).max(10_000);
    let y = Scale { from: (least - margin).max(0), to: most + margin };
    let right = WIDTH - RIGHT;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 12);
    for step in 0..=4 {
        let value = y.from + (y.to - y.from) * step / 4;
        let at = tenths(y.y(top, value));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at}\" x2=\"{right}\" y2=\"{at}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{at}\" dy=\"4\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            label(value)
        );
    }
    for step in 0..=4 {
        let height = u32::try_from(x.from + (x.to - x.from) * step / 4).unwrap_or(u32::MAX);
        let (at, below) = (tenths(x.x(height)), top + PANEL + 16);
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"{below}\" text-anchor=\"middle\">{height}</text>");
    }
    let _ = writeln!(svg, "<text x=\"8\" y=\"{}\">block height</text>", top + PANEL + 16);
    for (row, line) in (0..).zip(lines.values()) {
        let path = steps(line, x, |value| y.y(top, value.into()));
        let colour = colour(row);
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    }
}

/// A line that keeps each value up to the next. What falls into one tenth of a pixel is drawn as its least, its greatest
/// and its last value, so that a drawing does not grow with the book.
fn steps(line: &Line, x: Scale, y: impl Fn(u32) -> i64) -> String {
    let mut path = String::new();
    let mut columns: Vec<(i64, u32, u32, u32)> = Vec::new();
    for (height, value) in line {
        let (at, value) = (x.x(*height), *value);
        match columns.last_mut() {
            Some((column, least, most, last)) if *column == at => {
                (*least, *most, *last) = ((*least).min(value), (*most).max(value), value);
            }
            _ => columns.push((at, value, value, value)),
        }
    }
    for (at, least, most, last) in columns {
        let mut values = vec![least, most, last];
        values.dedup();
        let begin = if path.is_empty() { "M" } else { "H" };
        let across = tenths(at);
        match begin {
            "M" => drop(write!(path, "M{across} {}", tenths(y(least)))),
            _ => drop(write!(path, "H{across}")),
        }
        for value in values {
            let _ = write!(path, "V{}", tenths(y(value)));
        }
    }
    if !path.is_empty() {
        let _ = write!(path, "H{}", WIDTH - RIGHT);
    }
    path
}

fn colour(row: i64) -> &'static str {
    let row = usize::try_from(row).unwrap_or(0);
    COLOURS[row % COLOURS.len()]
}

fn tenths(pixels: i64) -> String {
    format!("{}.{}", pixels / 10, pixels % 10)
}

fn decimal(ppm: i64) -> String {
    format!("{}.{:04}", ppm / 1_000_000, ppm % 1_000_000 / 100)
}

fn percent(ppm: i64) -> String {
    format!("{}.{:02}%", ppm / 10_000, ppm % 10_000 / 100)
}

/// Text as XML takes it.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use bitcoin::Amount;

    use super::*;

    fn point(counter: u64, height: u32, pool: &str, nav: u32) -> Point {
        Point {
            counter,
            height: Height::new(height),
            pool: PoolId::new(pool).expect("a name"),
            nav: tapstake_restake::Nav::new(nav.into()),
            assets: Amount::from_sat(1_000),
            queued: Amount::ZERO,
            reserves: Amount::from_sat(900),
        }
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let (svg, pools) = draw(&[point(1, 10, "<script>\"&'", 1_000_000)], Height::new(20));
        assert_eq!(pools, 1);
        assert!(svg.contains("&lt;script&gt;&quot;&amp;&#39;</text>") && !svg.contains("<script"), "{svg}");
    }

    #[test]
    fn a_drawing_does_not_grow_with_the_book_and_shows_its_extremes() {
        let points: Vec<Point> =
            (0..200_000u32).map(|n| point(n.into(), 10 + n, "p", 1_000_000 + n % 97)).collect();
        let (svg, _) = draw(&points, Height::new(200_010));
        assert!(svg.len() < 1 << 20, "{} bytes", svg.len());
        let (one, _) = draw(&[point(1, 10, "p", 2_000_000), point(2, 10, "p", 1_000_000)], Height::new(10));
        assert!(
            one.contains(">1.0000</text>") && !one.contains(">2.0000</text>"),
            "the last of a height counts"
        );
    }
}
