//! A process that writes memories, ended at its writes: nothing that was acknowledged is lost, no rows disagree. Every
//! point is tried by `lar-benches "Crash matrix"`; here some of them are.

use lar_tests::crash::{How, Matrix, matrix};

#[test]
fn nothing_is_lost_wherever_it_ends() {
    for (how, every) in [(How::Kill, 7), (How::Torn, 11), (How::PowerAll, 7), (How::PowerSome, 7)] {
        let found = matrix(how, every);
        assert!(found.points > 5 && found.acknowledged > found.points, "{how:?}: {found:?}");
        let sound = Matrix { lost: 0, disagree: 0, broken: 0, ..found.clone() };
        assert_eq!(found, sound, "{how:?}");
    }
}
