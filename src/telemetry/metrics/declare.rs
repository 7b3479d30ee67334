//! The macro behind the table of metrics.

use std::borrow::Cow;

use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};

/// What a metric counts with: one series of a family, chosen by its labels.
pub(super) trait Kind: Sized {
    /// All series of one metric.
    type Family: Collector + Clone + 'static;

    /// A family without series.
    fn family(opts: Opts, labels: &[&str], buckets: Vec<f64>) -> Result<Self::Family, Error>;

    /// The series with these values of the labels, created if it is new.
    fn series(family: &Self::Family, values: &[Cow<'_, str>]) -> Self;
}

impl Kind for IntCounter {
    type Family = IntCounterVec;

    fn family(opts: Opts, labels: &[&str], _: Vec<f64>) -> Result<Self::Family, Error> {
        IntCounterVec::new(opts, labels)
    }

    fn series(family: &Self::Family, values: &[Cow<'_, str>]) -> Self {
        family.with_label_values(values)
    }
}

impl Kind for IntGauge {
    type Family = IntGaugeVec;

    fn family(opts: Opts, labels: &[&str], _: Vec<f64>) -> Result<Self::Family, Error> {
        IntGaugeVec::new(opts, labels)
    }

    fn series(family: &Self::Family, values: &[Cow<'_, str>]) -> Self {
        family.with_label_values(values)
    }
}

impl Kind for Histogram {
    type Family = HistogramVec;

    fn family(opts: Opts, labels: &[&str], buckets: Vec<f64>) -> Result<Self::Family, Error> {
        HistogramVec::new(HistogramOpts::from(opts).buckets(buckets), labels)
    }

    fn series(family: &Self::Family, values: &[Cow<'_, str>]) -> Self {
        family.with_label_values(values)
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
    labels: &[&str],
    buckets: Vec<f64>,
) -> K::Family {
    let family = K::family(Opts::new(name, help.trim()), labels, buckets)
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
            $($name: <$kind as Kind>::Family,)*
        }

        impl Metrics {
            fn declare() -> Self {
                let registry = Registry::new();
                Self {
                    scrape: Arc::default(),
                    $($name: {
                        let buckets: &[&[f64]] = &[$(&$buckets)?];
                        let labels = [$(stringify!($label)),*];
                        let help = concat!($($help),+);
                        declare::register::<$kind>(&registry, stringify!($name), help, &labels, buckets.concat())
                    },)*
                    registry,
                }
            }

            fn clear_sampled(&self) {
                $($($scope::clear(&self.$name);)?)*
            }

            $(
                $(#[doc = $help])+
                pub(crate) fn $name(&self, $($label: $value),*) -> $kind {
                    $kind::series(&self.$name, &[$($label.label()),*])
                }
            )*
        }
    };
}

pub(super) use metrics;
