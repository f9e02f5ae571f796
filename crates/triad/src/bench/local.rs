//! A client in the node's process: hands statements to the submitter, as every door does.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use triad_chain::Submitter;

use super::fleet::Pool;
use super::load::{Plan, Run};

/// Statements handed in and not yet answered.
const WINDOW: usize = 20_000;

pub async fn run(submitter: Submitter, pool: Arc<Pool>, plan: Plan) -> anyhow::Result<Run> {
    let mut run = Run::new(plan.from);
    let (sender, mut answers) = mpsc::channel(WINDOW);
    let begin = run.first;
    let produce = async move {
        let mut index = plan.from;
        while index < pool.statements.len() && begin.elapsed() < plan.time {
            let sent = Instant::now();
            let answer = submitter.submit(pool.statements[index].clone()).await;
            if sender.send((index, sent, answer)).await.is_err() {
                break;
            }
            index += 1;
            if let Some(pace) = plan.pace {
                tokio::time::sleep(pace).await;
            }
        }
        index
    };
    // Answers are awaited in the order of sending, which is nearly that of finality.
    let consume = async {
        while let Some((index, sent, answer)) = answers.recv().await {
            match answer.await {
                Ok(Ok(_)) => run.acknowledge(index, sent),
                Ok(Err(refusal)) => run.refuse(refusal.code),
                Err(_) => run.refuse("no-answer"),
            }
        }
    };
    let (next, ()) = tokio::join!(produce, consume);
    run.next = next;
    Ok(run)
}
