//! Net asset value and backing over height, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use bitcoin::Amount;
use serde::Serialize;
use tapstake_ledger::{Ledger, Point, Record};
use tapstake_params::Height;
use tapstake_restake::{Book, Entry, LrtPool, Nav, Pool, PoolId, VIRTUAL_SHARES, mul_div_floor};

use super::refusal::by_book;
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
    /// Only this pool [default: all]
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
    let mut points = ledger.points(args.pool.as_ref()).map_err(refused)?;
    points.extend(over_receipts(&ledger, args.pool.as_ref())?);
    points.sort_by_key(|point| point.counter);
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

/// What pools over receipts were worth after each entry that changed that. The index does not have them, so the entries are made
/// once more. Their backing is that of the pools beneath, and is not drawn twice.
fn over_receipts(ledger: &Ledger, asked: Option<&PoolId>) -> Result<Vec<Point>> {
    let wanted = |pool: &PoolId| asked.is_none_or(|asked| asked == pool);
    let (mut points, mut last) = (Vec::new(), BTreeMap::new());
    if !ledger.book().lrt_pools().any(|(name, ..)| wanted(name)) {
        return Ok(points);
    }
    let mut book = Book::new();
    for record in ledger.records().map_err(refused)? {
        let Record { counter, height, event, .. } = record.map_err(refused)?;
        book.apply(&Entry { height, event }).map_err(by_book)?;
        for (pool, over, lrt) in book.lrt_pools().filter(|(name, ..)| wanted(name)) {
            let Some(nav) = worth(lrt, book.pool(over).map_err(by_book)?) else { continue };
            if last.insert(pool.clone(), nav) != Some(nav) {
                let (pool, assets, queued, reserves) =
                    (pool.clone(), Amount::ZERO, Amount::ZERO, Amount::ZERO);
                points.push(Point { counter, height, pool, nav, assets, queued, reserves });
            }
        }
    }
    Ok(points)
}

/// What shares bring that opened at one share of the pool beneath, which opened at one satoshi.
fn worth(lrt: &LrtPool, beneath: &Pool) -> Option<Nav> {
    let millionths = lrt.redemption_floor(VIRTUAL_SHARES * 1_000_000)?;
    mul_div_floor(beneath.nav_floor().millionths(), millionths, 1_000_000).map(Nav::new)
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

/// Heights and values in millionths, in the order of heights.
type Line = Vec<(u32, u128)>;

fn draw(points: &[Point], last: Height) -> (String, usize) {
    let (mut values, mut backing) = (BTreeMap::<&PoolId, Line>::new(), BTreeMap::<&PoolId, Line>::new());
    for point in points {
        let height = point.height.to_u32();
        let ratio = point.backing_ratio_floor().map(|ratio| ratio.to_u32().into());
        put(values.entry(&point.pool).or_default(), height, Some(point.nav.millionths()));
        put(backing.entry(&point.pool).or_default(), height, ratio);
    }
    let first = points.first().map_or(0, |point| point.height.to_u32());
    let x = Across { from: first.into(), to: i64::from(last.to_u32()).max(i64::from(first) + 1) };
    let (values_up, backing_up) = (Up::over(&values), Up::over(&backing));
    // Labels end at the left edge of the panels, and begin where they are long enough for that.
    let longest =
        values_up.steps().map(decimal).chain(backing_up.steps().map(percent)).map(|text| text.len());
    let room = longest.max().and_then(|length| i64::try_from(length).ok()).map_or(0, |length| 8 * length);
    let (begin, width) = ((LEFT - 8 - room).min(0), WIDTH - (LEFT - 8 - room).min(0));
    let rows = i64::try_from(values.len()).unwrap_or(0);
    let legend = TOP + 2 * PANEL + GAP + 50;
    let height = legend + 18 * rows + 10;
    let mut svg = format!(
        "{START} width=\"{width}\" height=\"{height}\" viewBox=\"{begin} 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect x=\"{begin}\" width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    panel(&mut svg, TOP, "net asset value of a share that opened at 1", &values, (x, values_up), &decimal);
    let below = TOP + PANEL + GAP;
    panel(&mut svg, below, "backing: reserves over receipts", &backing, (x, backing_up), &percent);
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
fn put(line: &mut Line, height: u32, value: Option<u128>) {
    if line.last().is_some_and(|(last, _)| *last == height) {
        line.pop();
    }
    line.extend(value.map(|value| (height, value)));
}

/// From heights to pixels, in tenths.
#[derive(Clone, Copy)]
struct Across {
    from: i64,
    to: i64,
}

impl Across {
    fn x(self, height: u32) -> i64 {
        let room = 10 * (WIDTH - LEFT - RIGHT);
        10 * LEFT + room * (i64::from(height) - self.from) / (self.to - self.from).max(1)
    }
}

/// From values in millionths to pixels, in tenths. The room is more than nothing.
#[derive(Clone, Copy)]
struct Up {
    from: u128,
    room: u128,
}

impl Up {
    /// Over all values, and a little beyond.
    fn over(lines: &BTreeMap<&PoolId, Line>) -> Self {
        let all = || lines.values().flatten().map(|(_, value)| *value);
        let (least, most) = (all().min().unwrap_or(0), all().max().unwrap_or(1_000_000));
        let margin = ((most - least) / 10).max(10_000);
        let from = least.saturating_sub(margin);
        Up { from, room: most.saturating_add(margin) - from }
    }

    /// Four parts of the room.
    fn steps(self) -> impl Iterator<Item = u128> {
        (0..=4).map(move |step| self.from + mul_div_floor(self.room, step, 4).unwrap_or(0))
    }

    fn y(self, top: i64, value: u128) -> i64 {
        let part = mul_div_floor(u128::from(10 * PANEL.unsigned_abs()), value - self.from, self.room);
        10 * (top + PANEL) - part.and_then(|part| i64::try_from(part).ok()).unwrap_or(0)
    }
}

fn panel(
    svg: &mut String,
    top: i64,
    title: &str,
    lines: &BTreeMap<&PoolId, Line>,
    (x, y): (Across, Up),
    label: &dyn Fn(u128) -> String,
) {
    let right = WIDTH - RIGHT;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 12);
    for value in y.steps() {
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
        let path = steps(line, x, |value| y.y(top, value));
        let colour = colour(row);
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    }
}

/// A line that keeps each value up to the next. What falls into one tenth of a pixel is drawn as its least, its greatest
/// and its last value, so that a drawing does not grow with the book.
fn steps(line: &Line, x: Across, y: impl Fn(u128) -> i64) -> String {
    let mut path = String::new();
    let mut columns: Vec<(i64, u128, u128, u128)> = Vec::new();
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

fn decimal(millionths: u128) -> String {
    Nav::new(millionths).to_string()
}

fn percent(millionths: u128) -> String {
    // A ratio is below 2^32, and its hundredfold fits.
    format!("{}%", Nav::new(millionths.saturating_mul(100)))
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
    use super::*;

    fn point(counter: u64, height: u32, pool: &str, nav: u128) -> Point {
        Point {
            counter,
            height: Height::new(height),
            pool: PoolId::new(pool).expect("a name"),
            nav: Nav::new(nav),
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
            (0..200_000u32).map(|n| point(n.into(), 10 + n, "p", 1_000_000 + u128::from(n % 97))).collect();
        let (svg, _) = draw(&points, Height::new(200_010));
        assert!(svg.len() < 1 << 20, "{} bytes", svg.len());
        let (one, _) = draw(&[point(1, 10, "p", 2_000_000), point(2, 10, "p", 1_000_000)], Height::new(10));
        assert!(one.contains(">1</text>") && !one.contains(">2</text>"), "the last of a height counts");
    }

    /// The labels and the lines of a drawing of these values, one a block.
    fn drawn(navs: &[u128]) -> (Vec<String>, Vec<String>) {
        let points: Vec<Point> = (0..).zip(navs).map(|(n, nav)| point(n.into(), 10 + n, "p", *nav)).collect();
        let (svg, _) = draw(&points, Height::new(20));
        let between = |begin: &str, end: &str| -> Vec<String> {
            let parts = svg.split(begin).skip(1);
            parts.filter_map(|part| Some(part.split_once(end)?.0.to_owned())).collect()
        };
        (between("text-anchor=\"end\">", "<"), between("<path d=\"", "\""))
    }

    #[test]
    fn labels_say_exactly_where_their_lines_are() {
        let (labels, _) = drawn(&[1_000_000, 1_000_001]);
        assert_eq!(labels[..5], ["0.99", "0.995", "1", "1.005", "1.010001"]);
        assert_eq!(labels[5..], ["89%", "89.5%", "90%", "90.5%", "91%"]);
    }

    #[test]
    fn a_long_label_has_room_on_the_left() {
        for (nav, room) in [(1_000_000, "viewBox=\"0 0 900 "), (u128::MAX, "viewBox=\"-238 0 1138 ")] {
            let (svg, _) = draw(&[point(1, 10, "p", nav)], Height::new(10));
            assert!(svg.contains(room), "{}", &svg[..200]);
        }
    }

    #[test]
    fn a_value_of_any_size_is_drawn_at_its_place() {
        for top in
            [1 << 20, u128::from(u32::MAX), u128::from(u64::MAX), 1 << 100, u128::MAX / 1_000, u128::MAX]
        {
            let (labels, lines) = drawn(&[0, top / 2, top]);
            let scale =
                Up::over(&BTreeMap::from([(&PoolId::new("p").expect("a name"), vec![(1, 0), (2, top)])]));
            assert_eq!(labels[4], decimal(scale.from + scale.room));
            let [least, half, most] = [0, top / 2, top].map(|value| tenths(scale.y(TOP, value)));
            assert!(
                lines[0].contains(&format!("V{half}")) && lines[0].contains(&format!("V{most}")),
                "{top}"
            );
            assert!(lines[0].starts_with(&format!("M90.0 {least}")), "{top}: {}", lines[0]);
            assert!(scale.y(TOP, top) >= 10 * TOP && scale.y(TOP, 0) == 10 * (TOP + PANEL), "{top}");
        }
    }
}
