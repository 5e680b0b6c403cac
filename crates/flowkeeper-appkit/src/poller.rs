//! The poller of sources that look for work in intervals (`spring.integration.poller.…`).

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::app::Error;
use crate::props::Props;

/// When to poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    /// Between the end of one poll and the start of the next, or, at a fixed rate, between starts.
    pub period: Duration,
    pub is_fixed_rate: bool,
    pub initial_delay: Duration,
    /// Messages per poll; `None`: all there are.
    pub max_messages: Option<usize>,
}

impl Poller {
    /// Reads the poller's properties, those of the output binding first.
    ///
    /// # Errors
    /// A value that cannot be read, or a cron expression, which the bundled apps do not know.
    pub fn read(props: &Props) -> Result<Poller, Error> {
        let prefixes = ["spring.cloud.stream.bindings.output.producer.poller", "spring.integration.poller"];
        let duration = |key: &str| -> Result<Option<Duration>, Error> {
            for prefix in prefixes {
                if let Some(value) = props.duration(&format!("{prefix}.{key}"))? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        };
        let mut max_messages = None;
        for prefix in prefixes {
            if let Some(cron) = props.text(&format!("{prefix}.cron"))? {
                return Err(Error::Fatal(format!(
                    "{prefix}.cron='{cron}' is not supported by the bundled apps; use fixed-delay or fixed-rate"
                )));
            }
            max_messages = max_messages.or(props.integer::<i64>(&format!("{prefix}.max-messages-per-poll"))?);
        }
        let rate = duration("fixed-rate")?;
        let delay = duration("fixed-delay")?;
        if rate.is_some() && delay.is_some() {
            return Err(Error::Fatal(
                "give the poller either fixed-rate or fixed-delay, not both".to_owned(),
            ));
        }
        Ok(Poller {
            period: rate.or(delay).unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1)),
            is_fixed_rate: rate.is_some(),
            initial_delay: duration("initial-delay")?.unwrap_or(Duration::ZERO),
            max_messages: max_messages.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
        })
    }

    /// Starts the clock.
    pub fn start(&self) -> Ticks {
        let mut interval = tokio::time::interval_at(Instant::now() + self.initial_delay, self.period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticks { interval, is_fixed_rate: self.is_fixed_rate, is_first: true }
    }
}

/// A running poller.
pub struct Ticks {
    interval: tokio::time::Interval,
    is_fixed_rate: bool,
    is_first: bool,
}

impl Ticks {
    /// Waits for the next poll. Cancel safe.
    pub async fn next(&mut self) {
        if !self.is_fixed_rate && !self.is_first {
            self.interval.reset();
        }
        self.interval.tick().await;
        self.is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bindings_poller_wins_and_cron_is_refused() {
        let props = Props::from_pairs([
            ("spring.integration.poller.fixed-delay", "5s"),
            ("spring.cloud.stream.bindings.output.producer.poller.fixedDelay", "20"),
            ("spring.integration.poller.max-messages-per-poll", "7"),
        ]);
        let poller = Poller::read(&props).unwrap();
        assert_eq!((poller.period, poller.max_messages), (Duration::from_millis(20), Some(7)));
        let cron = Props::from_pairs([("spring.integration.poller.cron", "* * * * * *")]);
        assert!(Poller::read(&cron).unwrap_err().to_string().contains("fixed-delay"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_poll_comes_after_the_initial_delay_and_then_in_periods() {
        let props = Props::from_pairs([
            ("spring.integration.poller.fixed-delay", "100"),
            ("spring.integration.poller.initial-delay", "30"),
        ]);
        let started = Instant::now();
        let mut ticks = Poller::read(&props).unwrap().start();
        let mut times = Vec::new();
        for _ in 0..3 {
            ticks.next().await;
            times.push(started.elapsed().as_millis());
        }
        assert_eq!(times, [30, 130, 230]);
    }
}
