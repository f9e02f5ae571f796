//! Many runs, each from its seed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use commonware_runtime::{Runner as _, deterministic};
use commonware_utils::sync::Mutex;

use super::{Ledgers, Simulation, counts::Counts, ledger::Flaw};

/// One run, and a digest of all that happened in it.
fn simulate(seed: u64, flaw: Flaw, ledgers: Ledgers) -> (Counts, String) {
    // Some day long after 1970, so that a clock may be behind.
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let config = deterministic::Config::new().with_seed(seed).with_start_time(start);
    let config = config.with_timeout(Some(Duration::from_secs(600)));
    let runner = deterministic::Runner::new(config);
    runner.start(|context| async move {
        let auditor = context.auditor().clone();
        let simulation = Simulation::new(context, seed, flaw, ledgers).await;
        let counts = simulation.run_all().await;
        (counts, auditor.state())
    })
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs seeds on all cores. The first that fails, and its panic.
fn run_seeds(
    seeds: std::ops::Range<u64>,
    flaw: Flaw,
    ledgers: Ledgers,
) -> Result<Counts, (u64, Box<dyn std::any::Any + Send>)> {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Counts::default());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end || failed.lock().is_some() {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| simulate(seed, flaw, ledgers))) {
                        Ok((one, _)) => {
                            sum.lock().add(&one);
                        }
                        Err(panic) => {
                            failed.lock().get_or_insert((seed, panic));
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        Some(failed) => Err(failed),
        None => Ok(sum.into_inner()),
    }
}

/// Whether somebody said which seeds to run: what happens in those may be anything.
fn chosen() -> bool {
    ["TRIAD_SEED", "TRIAD_SIM_RUNS"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Runs that many seeds, or as many as somebody asks for.
fn run(runs: u64, ledgers: Ledgers) -> Counts {
    let first = number("TRIAD_SEED", 1);
    let runs = number("TRIAD_SIM_RUNS", runs);
    let started = std::time::Instant::now();
    match run_seeds(first..first + runs, Flaw::None, ledgers) {
        Ok(counts) => {
            println!("{runs} runs, {counts}, {:?}", started.elapsed());
            counts
        }
        Err((seed, panic)) => {
            eprintln!("simulation {seed} failed: TRIAD_SEED={seed} TRIAD_SIM_RUNS=1 repeats it");
            resume_unwind(panic);
        }
    }
}

#[test]
fn networks_in_trouble_agree_lose_nothing_and_heal() {
    let counts = run(120, Ledgers::Model);
    if chosen() {
        return;
    }
    assert!(counts.traitors.iter().all(|count| *count > 0), "some traitor was in no run");
    assert!(counts.mixed > 0, "no traitors of several kinds met");
    // A wiped validator whose votes nobody in reach saw is not; most are.
    assert!(counts.denied > 0, "no amnesiac was found out");
    assert!(counts.changes > 0, "no set of validators ever changed");
    // One whose contradicting votes reached different validators is not.
    assert!(counts.convicted > 0, "there is no evidence against any equivocator");
    assert!(counts.stopped > 0, "no validator stopped within its work");
    assert!(counts.torn > 0, "no file was ever torn");
}

/// The same with the ledger of a node: executed blocks, a store that is opened again after each crash, an audit at the end.
#[test]
fn real_chains_in_trouble_agree_lose_nothing_and_heal() {
    let counts = run(20, Ledgers::Chain);
    if chosen() {
        return;
    }
    assert!(counts.stopped > 0, "no validator stopped within its work");
    assert!(counts.changes > 0, "no set of validators ever changed");
    assert!(counts.synced > 0, "nobody began with a snapshot");
    assert!(counts.verdicts > 0, "no reading was judged");
    assert!(counts.fired > 0, "no automation fired");
}

/// Two blocks were certified and not final while the ledger was not allowed to be that far behind: nobody proposed.
/// That was before clocks, torn writes and more traitors drew numbers of their own: this seed names another run now, and one in
/// which the fault would show again has still to be found.
#[test]
fn two_unfinal_blocks_do_not_hold_proposing() {
    simulate(1316, Flaw::None, Ledgers::Model);
}

/// The simulated disk lost a durable write once, when an earlier one to the same place was torn, and a validator's cache would not open.
#[test]
fn a_torn_write_does_not_undo_a_later_durable_one() {
    simulate(30951, Flaw::None, Ledgers::Model);
}

#[test]
fn a_seed_repeats_its_run() {
    for ledgers in [Ledgers::Model, Ledgers::Chain] {
        assert_eq!(simulate(7, Flaw::None, ledgers), simulate(7, Flaw::None, ledgers));
    }
}

/// What the simulation checks can fail: with ledgers that have a flaw, it does. The words of the first failure.
fn found_out(flaw: Flaw, ledgers: Ledgers) -> String {
    let Err((seed, panic)) = run_seeds(1..80, flaw, ledgers) else {
        panic!("all ledgers have the flaw {flaw:?} in 79 runs, and nobody noticed");
    };
    let why = panic.downcast::<String>().map_or_else(|_| String::new(), |why| *why);
    println!("simulation {seed} with the flaw {flaw:?}: {why}");
    why
}

#[test]
fn ledgers_that_forget_their_ancestors_are_found_out() {
    let why = found_out(Flaw::ForgetsAncestors, Ledgers::Model);
    // The same item comes again in a final block, or in one that a slower validator cannot execute any more.
    assert!(why.contains("there twice") || why.contains("does not execute"), "{why}");
}

#[test]
fn ledgers_that_believe_any_clock_are_found_out() {
    for ledgers in [Ledgers::Model, Ledgers::Chain] {
        let why = found_out(Flaw::BelievesAnyClock, ledgers);
        assert!(why.contains("is of") && why.contains("ahead"), "{why}");
    }
}

/// Whose state is another is told so by the next block, or by what the others say of theirs; if nobody's is the same, nothing is
/// agreed on any more.
#[test]
fn starts_that_forget_are_found_out() {
    let why = found_out(Flaw::ForgetsAReading, Ledgers::Chain);
    let noticed = ["the state after block", "could not commit", "not healed"];
    assert!(noticed.iter().any(|words| why.contains(words)), "{why}");
}

/// What a vote rests on is synced before it leaves: with disks that do not, votes are given twice, or the finished is gone.
#[test]
fn disks_that_do_not_sync_are_found_out() {
    found_out(Flaw::NeverSyncs, Ledgers::Model);
}
