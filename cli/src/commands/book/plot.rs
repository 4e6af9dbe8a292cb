//! Net asset value and backing over height, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use bitcoin::Amount;
use serde::Serialize;
use tapstake_ledger::{Ledger, Point, Record};
use tapstake_params::Height;
use tapstake_restake::{Book, BookError, Entry, Nav, PoolId, mul_div_floor};

use super::refusal::{by_book, named};
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
        return Err(match &args.pool {
            Some(pool) => named(ledger.book(), BookError::UnknownPool(pool.clone())),
            None => Error::rule("unknown-pool", "the book has no pool")
                .next("tapstake book pool open NAME --unbonding-time BLOCKS opens one"),
        });
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
            let Some(nav) = lrt.nav_floor(book.pool(over).map_err(by_book)?) else { continue };
            if last.insert(pool.clone(), nav) != Some(nav) {
                let (pool, assets, queued, reserves) =
                    (pool.clone(), Amount::ZERO, Amount::ZERO, Amount::ZERO);
                points.push(Point { counter, height, pool, nav, assets, queued, reserves });
            }
        }
    }
    Ok(points)
}

const START: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tapstake-book\"";
/// More than any drawing takes.
const MAX_DRAWING: u64 = 256 << 20;

const WIDTH: i64 = 900;
const LEFT: i64 = 90;
const RIGHT: i64 = 20;
const PANEL: i64 = 200;
const TOP: i64 = 50;
const GAP: i64 = 72;
const COLOURS: [&str; 6] = ["#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e"];
/// Dashes of a period of 16 pixels, later lines drawn over earlier ones: where all six coincide, each has pixels of its own.
const DASHES: [&str; 6] = ["none", "8 8", "4 12", "0 8 4 4", "0 4 2 10", "0 12 2 2"];

/// Heights and values in millionths, in the order of entries: several at a height where it has several entries.
type Line = Vec<(u32, u128)>;

fn draw(points: &[Point], last: Height) -> (String, usize) {
    let (mut values, mut backing) = (BTreeMap::<&PoolId, Line>::new(), BTreeMap::<&PoolId, Line>::new());
    for point in points {
        let height = point.height.to_u32();
        let ratio = point.backing_ratio_floor().map(|ratio| (height, ratio.to_u32().into()));
        values.entry(&point.pool).or_default().push((height, point.nav.millionths()));
        // What does not exist is left out.
        backing.entry(&point.pool).or_default().extend(ratio);
    }
    let first = points.first().map_or(0, |point| point.height.to_u32());
    let x = Across { from: first.into(), to: i64::from(last.to_u32()).max(i64::from(first) + 1) };
    let (values_up, backing_up) = (Up::over(&values), Up::over(&backing));
    let backed = backing.values().any(|line| !line.is_empty());
    // Labels end at the left edge of the panels, and begin where they are long enough for that.
    let longest =
        values_up.ticks().map(decimal).chain(backing_up.ticks().map(percent)).map(|text| text.len());
    let room = longest.max().and_then(|length| i64::try_from(length).ok()).map_or(0, |length| 8 * length);
    let (begin, width) = ((LEFT - 8 - room).min(0), WIDTH - (LEFT - 8 - room).min(0));
    let rows = i64::try_from(values.len()).unwrap_or(0);
    let panels = if backed { 2 } else { 1 };
    let legend = TOP + panels * (PANEL + GAP) + if backed { 0 } else { 20 };
    let height = legend + 18 * rows + 10;
    let mut svg = format!(
        "{START} width=\"{width}\" height=\"{height}\" viewBox=\"{begin} 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect x=\"{begin}\" width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    panel(&mut svg, TOP, "net asset value of a share that opened at 1", &values, (x, values_up), &decimal);
    let below = TOP + PANEL + GAP;
    if backed {
        panel(&mut svg, below, "backing: reserves over receipts", &backing, (x, backing_up), &percent);
    } else {
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" fill=\"#555555\">{UNBACKED}</text>", below - 4);
    }
    for (row, pool) in (0..).zip(values.keys()) {
        let y = legend + 18 * row;
        let name = escaped(pool.as_str());
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at}\" x2=\"{end}\" y2=\"{at}\" {stroke}/>\
             <text x=\"{text}\" y=\"{y}\">{name}</text>",
            at = y - 4,
            end = LEFT + 48,
            stroke = stroke(row),
            text = LEFT + 56
        );
    }
    svg.push_str("</svg>\n");
    (svg, values.len())
}

const UNBACKED: &str = "No backing is drawn: nothing is issued, or the backing is that of the pool beneath.";

/// The least of 1, 2 and 5 times a power of ten that is not below this.
fn round_up(least: u128) -> u128 {
    let powers = (0..=38).filter_map(|exponent| 10u128.checked_pow(exponent));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|times| power.saturating_mul(times)));
    steps.find(|step| *step >= least).unwrap_or(u128::MAX)
}

/// The multiples of a round number between two, which are two to six where these are far enough apart.
fn ticks(from: u128, to: u128) -> impl Iterator<Item = u128> {
    let step = round_up((to - from).div_ceil(5).max(1));
    let first = from.div_ceil(step).checked_mul(step);
    std::iter::successors(first, move |tick| tick.checked_add(step)).take_while(move |tick| *tick <= to)
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

    fn ticks(self) -> impl Iterator<Item = u32> {
        let ticks = ticks(self.from.unsigned_abs().into(), self.to.unsigned_abs().into());
        ticks.filter_map(|tick| u32::try_from(tick).ok())
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

    fn ticks(self) -> impl Iterator<Item = u128> {
        ticks(self.from, self.from + self.room)
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
    for value in y.ticks() {
        let at = tenths(y.y(top, value));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at}\" x2=\"{right}\" y2=\"{at}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{at}\" dy=\"4\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            label(value)
        );
    }
    for height in x.ticks() {
        let (at, below) = (tenths(x.x(height)), top + PANEL + 16);
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"{below}\" text-anchor=\"middle\">{height}</text>");
    }
    let (middle, under) = (i64::midpoint(LEFT, right), top + PANEL + 34);
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{under}\" text-anchor=\"middle\">block height</text>");
    let paths: Vec<_> = lines.values().map(|line| steps(line, x, |value| y.y(top, value))).collect();
    // Between its dashes a line goes on faintly, below all dashes.
    for (row, path) in (0..).zip(&paths) {
        let colour = colour(row);
        let _ =
            writeln!(svg, "<path fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.4\" d=\"{path}\"/>");
    }
    for (row, path) in (0..).zip(&paths) {
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" {}/>", stroke(row));
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
    nth(COLOURS, row)
}

fn nth(of: [&'static str; 6], row: i64) -> &'static str {
    of[usize::try_from(row).unwrap_or(0) % of.len()]
}

/// How the line of a row is drawn: in a colour, and in dashes that leave the lines before it visible.
fn stroke(row: i64) -> String {
    let (colour, dashes) = (colour(row), nth(DASHES, row));
    format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"")
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
    }

    #[test]
    fn every_state_of_a_height_is_drawn_and_the_last_one_goes_on() {
        let states = [1_000_000, 500_000, 2_000_000, 1_500_000].map(|nav| point(1, 10, "p", nav));
        let (svg, _) = draw(&states, Height::new(20));
        let line = Up::over(&BTreeMap::from([(&states[0].pool, vec![(10, 500_000), (10, 2_000_000)])]));
        let [least, most, last] = [500_000, 2_000_000, 1_500_000].map(|nav| tenths(line.y(TOP, nav)));
        let path = format!("<path d=\"M90.0 {least}V{least}V{most}V{last}H880\"");
        assert!(svg.contains(&path), "{path} in {svg}");
    }

    /// The pixels of a period that a line of these dashes has.
    fn drawn_pixels(dashes: &str) -> Vec<usize> {
        let mut lengths: Vec<usize> = dashes.split(' ').filter_map(|length| length.parse().ok()).collect();
        if lengths.is_empty() {
            lengths = vec![16, 0];
        }
        let dashes = lengths.iter().enumerate().flat_map(|(at, length)| vec![at % 2 == 0; *length]);
        let period: Vec<bool> = dashes.collect();
        assert_eq!(period.len(), 16, "{lengths:?}");
        (0..16).filter(|pixel| period[*pixel]).collect()
    }

    #[test]
    fn lines_that_coincide_are_all_visible() {
        let mut owner = [0; 16];
        for (row, dashes) in DASHES.iter().enumerate() {
            drawn_pixels(dashes).into_iter().for_each(|pixel| owner[pixel] = row);
        }
        for row in 0..DASHES.len() {
            assert!(owner.iter().filter(|of| **of == row).count() >= 2, "{row}: {owner:?}");
        }
        let (svg, _) = draw(&[point(1, 10, "l", 1_000_000), point(1, 10, "p", 1_000_000)], Height::new(20));
        let strokes: Vec<_> =
            svg.split("<path d=\"").skip(1).map(|part| part.split_once('"').unwrap().1).collect();
        let own = |row| format!(" fill=\"none\" {}/>", stroke(row));
        assert!(strokes[0].starts_with(&own(0)) && strokes[1].starts_with(&own(1)), "{strokes:?}");
        assert_ne!(own(0), own(1));
        let faint = svg.matches("stroke-opacity").count();
        assert_eq!(faint, svg.matches("<path d=").count(), "each line is there between its dashes");
        assert!(svg.find("stroke-opacity") < svg.find("<path d="), "below all dashes: {svg}");
    }

    #[test]
    fn a_backing_that_does_not_exist_is_explained_and_not_drawn_empty() {
        let mut none = point(1, 10, "l", 1_000_000);
        (none.assets, none.reserves) = (Amount::ZERO, Amount::ZERO);
        let (svg, _) = draw(&[none], Height::new(20));
        assert!(svg.contains(UNBACKED) && !svg.contains("reserves over receipts"), "{svg}");
        let (svg, _) = draw(&[point(1, 10, "p", 1_000_000)], Height::new(20));
        assert!(!svg.contains(UNBACKED) && svg.contains("reserves over receipts"), "{svg}");
    }

    #[test]
    fn ticks_are_multiples_of_round_numbers() {
        let found = |from, to| ticks(from, to).collect::<Vec<_>>();
        assert_eq!(found(121, 323), [150, 200, 250, 300]);
        assert_eq!(found(10, 11), [10, 11]);
        assert_eq!(found(7, 7), [7]);
        assert_eq!(found(997_298, 1_040_000), [1_000_000, 1_010_000, 1_020_000, 1_030_000, 1_040_000]);
        assert_eq!(found(0, u128::MAX), [0, 1, 2, 3].map(|n| n * 10u128.pow(38)));
        for (least, round) in [(0, 1), (1, 1), (3, 5), (6, 10), (11, 20), (u128::MAX, u128::MAX)] {
            assert_eq!(round_up(least), round, "{least}");
        }
    }

    #[test]
    fn the_axis_is_named_below_its_heights() {
        let (svg, _) = draw(&[point(1, 121, "p", 1_000_000)], Height::new(323));
        let y = |text: &str| {
            let element = svg.split("<text ").find(|part| part.contains(&format!(">{text}<"))).unwrap();
            element.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<i64>().unwrap()
        };
        assert!(y("block height") >= y("150") + 16, "{svg}");
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
        assert_eq!(labels[..5], ["0.99", "0.995", "1", "1.005", "1.01"]);
        assert_eq!(labels[5..], ["89%", "89.5%", "90%", "90.5%", "91%"]);
    }

    #[test]
    fn a_long_label_has_room_on_the_left() {
        for (nav, room) in [(1_000_000, "viewBox=\"0 0 900 "), (u128::MAX, "viewBox=\"-214 0 1114 ")] {
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
            assert_eq!(labels[..scale.ticks().count()], scale.ticks().map(decimal).collect::<Vec<_>>());
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
