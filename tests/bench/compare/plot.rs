//! Bar charts as SVG.

use std::fmt::Write as _;

/// Horizontal bars on a logarithmic scale, in groups.
pub(super) struct BarChart {
    pub(super) title: String,
    pub(super) unit: &'static str,
    /// The names of the bars of each group.
    pub(super) series: Vec<String>,
    /// The name of each group, and a value for each series, if it has one.
    pub(super) groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 860.0;
const LABEL_WIDTH: f64 = 190.0;
const BAR_HEIGHT: f64 = 13.0;
const COLORS: [&str; 6] = [
    "#1b6ca8", "#e08e1b", "#5f8f3e", "#8f4a8a", "#b8442f", "#777777",
];

impl BarChart {
    /// The chart as a standalone file.
    pub(super) fn to_svg(&self) -> String {
        let values = || {
            self.groups
                .iter()
                .flat_map(|(_, values)| values.iter().flatten().copied())
        };
        let low = values().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values().fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        let scale = (WIDTH - LABEL_WIDTH - 90.0) / (high - low);
        let x = |value: f64| LABEL_WIDTH + (value.log10() - low) * scale;
        let mut body = String::new();
        let mut y = 60.0;
        for (name, values) in &self.groups {
            let middle = y + BAR_HEIGHT * values.iter().flatten().count() as f64 / 2.0 + 4.0;
            writeln!(
                body,
                r#"<text x="{}" y="{middle}" text-anchor="end">{name}</text>"#,
                LABEL_WIDTH - 8.0
            )
            .unwrap();
            for (value, color) in values.iter().zip(COLORS.iter().cycle()) {
                let Some(value) = value else { continue };
                let width = (x(*value) - LABEL_WIDTH).max(1.0);
                writeln!(
                    body,
                    r#"<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1}" height="{}" fill="{color}"/><text x="{:.1}" y="{}" class="value">{}</text>"#,
                    BAR_HEIGHT - 2.0,
                    LABEL_WIDTH + width + 4.0,
                    y + BAR_HEIGHT - 3.5,
                    format_value(*value),
                )
                .unwrap();
                y += BAR_HEIGHT;
            }
            y += 8.0;
        }
        let mut legend = String::new();
        let mut at = LABEL_WIDTH;
        for (name, color) in self.series.iter().zip(COLORS.iter().cycle()) {
            writeln!(
                legend,
                r#"<rect x="{at}" y="34" width="10" height="10" fill="{color}"/><text x="{}" y="43">{name}</text>"#,
                at + 14.0
            )
            .unwrap();
            at += 34.0 + name.len() as f64 * 7.0;
        }
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">
<style>text {{ font: 12px sans-serif; fill: #222 }} .value {{ font-size: 10px }} .title {{ font-weight: bold }}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="8" y="20" class="title">{}, {}, logarithmic</text>
{legend}{body}</svg>
"##,
            self.title, self.unit
        )
    }
}

fn format_value(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}
