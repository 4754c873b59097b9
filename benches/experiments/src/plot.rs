//! Plots: lines with marks, axes of several kinds, and a legend beside them, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Failure;

mod axis;

pub(crate) use axis::{Axis, Scale};

/// The size of the whole picture.
const SIZE: (u32, u32) = (960, 500);

/// Width of the part to the left of the legend.
const CHART: u32 = 690;

/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(130, 130, 130),
];

/// One picture.
pub(crate) struct Plot {
    /// The name of its file, without the ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One line.
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    /// A line through `points`.
    pub(crate) fn new(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
        Series { label: label.into(), points: points.into_iter().collect() }
    }
}

impl Plot {
    /// The picture's text.
    pub(crate) fn svg(&self) -> Result<String, Failure> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (chart, legend) = area.split_horizontally(CHART);
        self.draw_chart(&chart)?;
        self.draw_legend(&legend)?;
        area.present()?;
        drop((area, chart, legend));
        Ok(text)
    }

    /// Axes and lines.
    fn draw_chart(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failure> {
        let points = || self.series.iter().flat_map(|series| self.visible(series));
        let x = self.x.fit(points().map(|point| point.0));
        let y = self.y.fit(points().map(|point| point.1));
        let (x_ticks, y_ticks) = (x.ticks.len(), y.ticks.len());
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 19))
            .margin(12)
            .x_label_area_size(52)
            .y_label_area_size(84)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_labels(x_ticks)
            .y_labels(y_ticks)
            .x_label_formatter(&|at| self.x.tick(*at))
            .y_label_formatter(&|at| self.y.tick(*at))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let points: Vec<(f64, f64)> =
                self.visible(series).map(|(x, y)| (self.x.place(*x), self.y.place(*y))).collect();
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
            chart.draw_series([PathElement::new(points, colour.stroke_width(2))])?;
        }
        Ok(())
    }

    /// The points of a series that the axes can show.
    fn visible<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a (f64, f64)> {
        series.points.iter().filter(|(x, y)| self.x.has_place_for(*x) && self.y.has_place_for(*y))
    }

    /// The legend.
    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failure> {
        let mut y = 56;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            area.draw(&PathElement::new(vec![(8, y), (36, y)], colour.stroke_width(2)))?;
            area.draw(&Circle::new((22, y), 4, colour.filled()))?;
            for line in lines(&series.label) {
                area.draw(&Text::new(line, (44, y - 7), ("sans-serif", 14)))?;
                y += 18;
            }
            y += 8;
        }
        Ok(())
    }
}

/// Breaks a label into lines that fit into the legend.
fn lines(label: &str) -> Vec<String> {
    const MAX: usize = 27;
    let mut lines = vec![String::new()];
    for word in label.split(' ') {
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last] += word;
        } else if lines[last].chars().count() + 1 + word.chars().count() <= MAX {
            lines[last] += " ";
            lines[last] += word;
        } else {
            lines.push(word.into());
        }
    }
    lines
}
