//! Families of series, and the macro that declares them in the table of metrics.

use std::{borrow::Cow, collections::HashMap, iter, marker::PhantomData};

use prometheus::{
    Error, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry,
    core::{Desc, Describer, Metric, MetricVec, MetricVecBuilder},
    proto::MetricType,
};

/// What a metric counts with: one series of a family.
pub(super) trait Kind: Metric + Clone + 'static {
    /// The exposed type.
    const TYPE: MetricType;

    /// A series with these labels.
    fn new_series(opts: Opts, buckets: &[f64]) -> Result<Self, Error>;
}

impl Kind for IntCounter {
    const TYPE: MetricType = MetricType::COUNTER;

    fn new_series(opts: Opts, _: &[f64]) -> Result<Self, Error> {
        Self::with_opts(opts)
    }
}

impl Kind for IntGauge {
    const TYPE: MetricType = MetricType::GAUGE;

    fn new_series(opts: Opts, _: &[f64]) -> Result<Self, Error> {
        Self::with_opts(opts)
    }
}

impl Kind for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn new_series(opts: Opts, buckets: &[f64]) -> Result<Self, Error> {
        Self::with_opts(HistogramOpts::from(opts).buckets(buckets.to_vec()))
    }
}

/// All series of one metric.
pub(super) type Family<K> = MetricVec<SeriesBuilder<K>>;

/// Follows each label value where a family looks up a series. `prometheus` hashes
/// the values without separators of its own, so `a`, `bc` and `ab`, `c` would share a series.
/// No label value contains it.
pub(super) const SEPARATOR: Cow<'static, str> = Cow::Borrowed("\u{1f}");

/// What all series of a family have in common.
#[derive(Clone)]
pub(super) struct FamilyOpts {
    opts: Opts,
    labels: &'static [&'static str],
    buckets: &'static [f64],
}

impl Describer for FamilyOpts {
    /// Describes the values by which a series is looked up: each label and its separator.
    fn describe(&self) -> Result<Desc, Error> {
        let looked_up = self
            .labels
            .iter()
            .flat_map(|label| [(*label).to_owned(), format!("{label}_separator")]);
        Desc::new(
            self.opts.name.clone(),
            self.opts.help.clone(),
            looked_up.collect(),
            HashMap::new(),
        )
    }
}

/// Builds a series from the values by which it was looked up.
pub(super) struct SeriesBuilder<K>(PhantomData<fn() -> K>);

impl<K> Clone for SeriesBuilder<K> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<K: Kind> MetricVecBuilder for SeriesBuilder<K> {
    type M = K;
    type P = FamilyOpts;

    fn build<V: AsRef<str>>(&self, family: &FamilyOpts, looked_up: &[V]) -> Result<K, Error> {
        let values = looked_up.iter().step_by(2);
        let labels = iter::zip(family.labels, values)
            .map(|(label, value)| ((*label).to_owned(), value.as_ref().to_owned()));
        K::new_series(
            family.opts.clone().const_labels(labels.collect()),
            family.buckets,
        )
    }
}

/// Marks a metric whose series are reset for each scrape, so that those of
/// an instance that is no longer configured disappear.
pub(super) struct Sampled;

impl Sampled {
    pub(super) fn clear<B: MetricVecBuilder>(family: &MetricVec<B>) {
        family.reset();
    }
}

/// Creates a family and registers it.
///
/// # Panics
/// If the table of metrics has an invalid name or has one twice: the first test
/// that creates metrics finds it.
#[expect(
    clippy::expect_used,
    reason = "names, labels and buckets are constants"
)]
pub(super) fn register<K: Kind>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
) -> Family<K> {
    let opts = FamilyOpts {
        opts: Opts::new(name, help.trim()),
        labels,
        buckets,
    };
    let family = Family::create(K::TYPE, SeriesBuilder(PhantomData), opts)
        .expect("the table declares valid metrics");
    let registered = registry.register(Box::new(family.clone()));
    registered.expect("the table declares each metric once");
    family
}

/// Declares the metrics: for each its help (the doc comment), the exposed name,
/// kind, labels and, for a histogram, the bounds of its buckets. `Kind<Sampled>`
/// is reset for each scrape.
///
/// Each becomes a method that returns the series with these labels.
macro_rules! metrics {
    ($(
        $(#[doc = $help:literal])+
        $name:ident: $kind:ident $(<$scope:ident>)? ($($label:ident: $value:ty),*) $(in $buckets:ident)?;
    )*) => {
        /// All metrics of one process, or of one edge in tests. A clone counts into
        /// the same series.
        ///
        /// Each metric has a method of its exposed name that returns the series
        /// with these labels. Names are those of `OpenTelemetry`'s conventions
        /// where these have one; the rest begins with `gatepost_`.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Registry,
            /// Held while the sampled metrics are set and read.
            scrape: Arc<Mutex<()>>,
            $($name: Family<$kind>,)*
        }

        impl Metrics {
            fn declare() -> Self {
                let registry = Registry::new();
                Self {
                    scrape: Arc::default(),
                    $($name: family::register(
                        &registry,
                        stringify!($name),
                        concat!($($help),+),
                        &[$(stringify!($label)),*],
                        { let buckets: &[&[f64]] = &[$(&$buckets)?]; buckets.first().copied().unwrap_or(&[]) },
                    ),)*
                    registry,
                }
            }

            fn clear_sampled(&self) {
                $($($scope::clear(&self.$name);)?)*
            }

            $(
                $(#[doc = $help])+
                pub(crate) fn $name(&self, $($label: $value),*) -> $kind {
                    let values: &[Cow<'_, str>] = &[$($label.label(), SEPARATOR),*];
                    self.$name.with_label_values(values)
                }
            )*
        }
    };
}

pub(super) use metrics;
