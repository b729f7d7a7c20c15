//! What the manifests of the fixtures say, taken together: nothing is played here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use forkspec::matrix::Fixture;
use forkspec::scenario::{Scenario, Suite};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> Vec<Fixture> {
    let fixtures = Fixture::load(&[root().join("fixtures")]).expect("manifests that can be read");
    assert!(fixtures.len() > 100, "the fixtures are not there: {}", fixtures.len());
    fixtures
}

fn scenarios() -> BTreeMap<String, Scenario> {
    let suite = Suite::load(&[root().join("scenarios")]).expect("a valid suite");
    suite.scenarios.into_iter().map(|scenario| (scenario.id.clone(), scenario)).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_scenario_fails_on_a_fixture_with_its_own_defect() {
    let fixtures = fixtures();
    let unproven: Vec<String> = scenarios()
        .values()
        .filter(|scenario| {
            let proves = |fixture: &Fixture| {
                fixture.defect.as_ref() == Some(&scenario.defect) && fixture.must_fail(&scenario.id)
            };
            !fixtures.iter().any(proves)
        })
        .map(|scenario| format!("{} ({})", scenario.id, scenario.defect))
        .collect();
    assert!(unproven.is_empty(), "no fixture has the defect that these exist for: {unproven:#?}");
}

#[test]
fn every_defect_of_the_catalogue_has_a_fixture_and_the_other_way_round() {
    let planted: BTreeSet<String> = fixtures().into_iter().filter_map(|fixture| fixture.defect).collect();
    assert_eq!(planted, names(&root().join("defects")));
}

#[test]
fn manifests_name_scenarios_that_there_are() {
    let scenarios = scenarios();
    let wrong: Vec<String> = fixtures()
        .iter()
        .flat_map(|fixture| {
            let patterns = fixture.fails.iter().chain(&fixture.may_fail);
            let lost = patterns.filter(|pattern| !scenarios.keys().any(|id| pattern.matches(id)));
            lost.map(|pattern| format!("{}: {pattern}", fixture.id)).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "no scenario matches: {wrong:#?}");
}
