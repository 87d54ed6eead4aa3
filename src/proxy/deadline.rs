//! A deadline that is set anew for each request. The timer behind it stays where it is and is moved only when it rings:
//! to start and stop one for each request costs as much as to parse it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep};

/// A deadline. It has none until it is set.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// It is over at `due`.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = Some(due);
        // One that rings too early is moved when it does.
        if let Some(timer) = &mut self.timer
            && timer.deadline() > due
        {
            timer.as_mut().reset(due);
        }
    }

    /// Ready once it is over; never if it was not set.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_it_was_set_to_be_last() {
        let begun = Instant::now();
        let mut deadline = Deadline::default();
        for (patience, expected) in [(60, 60), (10, 70), (600, 670), (30, 700)] {
            deadline.set(Instant::now() + Duration::from_secs(patience));
            std::future::poll_fn(|cx| deadline.poll_over(cx)).await;
            assert_eq!(begun.elapsed().as_secs(), expected);
        }
        deadline.set(Instant::now() + Duration::from_secs(60));
        let soon = tokio::time::timeout(Duration::from_secs(59), std::future::poll_fn(|cx| deadline.poll_over(cx)));
        assert!(soon.await.is_err());
        deadline.set(Instant::now() + Duration::from_secs(60));
        std::future::poll_fn(|cx| deadline.poll_over(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 700 + 59 + 60);
    }
}
