//! A process that writes memories is killed at its writes: no acknowledged memory is lost, and all rows
//! agree. This test kills it at some of its writes, `lar-benches "Crash matrix"` at every one.

use lar_tests::crash::{How, Matrix, matrix};

#[test]
fn no_acknowledged_memory_is_lost_wherever_a_process_is_killed() {
    for (how, every) in [(How::Kill, 7), (How::Torn, 11), (How::PowerAll, 7), (How::PowerSome, 7)] {
        let found = matrix(how, every);
        assert!(found.points > 5 && found.acknowledged > found.points, "{how:?}: {found:?}");
        let sound = Matrix { lost: 0, disagree: 0, broken: 0, ..found.clone() };
        assert_eq!(found, sound, "{how:?}");
    }
}
