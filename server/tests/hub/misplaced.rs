//! Documents live where their root says. What a device packs elsewhere touches none of them: once one entry in a pack of
//! another logbook made a record vanish on every replica, and a copy there held its author's own work back.

use qianmo_protocol::change::RawChange;
use qianmo_protocol::control::{Carrier, Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::DocId;
use qianmo_protocol::record::{AuthoredChange, FieldEdit, FieldPath, edit};
use qianmo_protocol::review::ReviewStatus;
use qianmo_replica::replica::CODE_MISPLACED;

use crate::world::{Tablet, World, assert_same_states, month};

fn root_of(tablet: &Tablet, doc: &DocId) -> RawChange {
    tablet.replica.document(doc).unwrap().unwrap().changes().next().unwrap().clone()
}

/// An honest-looking edit of a record, by this tablet's person, on what another tablet knows.
fn foreign_edit(world: &mut World, thief: &Tablet, of: &Tablet, doc: &DocId) -> AuthoredChange {
    let origin = world.origin(thief);
    let document = of.replica.document(doc).unwrap().unwrap();
    let edits = [FieldEdit::Set(
        FieldPath::Field("content".to_owned()),
        qianmo_protocol::change::Scalar::Text("被改掉的内容".to_owned()),
    )];
    edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap()
}

/// Packs changes of a document into a logbook that it does not live in.
fn misplace(thief: &mut Tablet, doc: DocId, changes: Vec<AuthoredChange>) {
    let changes: Vec<(DocId, AuthoredChange)> = changes.into_iter().map(|change| (doc, change)).collect();
    thief.replica.write(&month(3), &changes, None).unwrap();
    thief.replica.sync().unwrap();
}

fn assert_untouched(world: &World, doc: &DocId, content: &str) {
    let row = world.core.replica().record_row(doc).unwrap().expect("the record is shown");
    assert_eq!(row.view.fields["content"], qianmo_protocol::change::Scalar::Text(content.to_owned()));
    assert_eq!((row.review.status, row.conflicts.len()), (ReviewStatus::Pending, 0));
}

fn assert_held_as_carrier_only(world: &World) {
    let mut found = 0;
    for (_, signed) in world.core.replica().control().iter() {
        if let Decision::Quarantine { scope: QuarantineScope::Change { carrier, .. }, code } =
            &signed.content().decision
        {
            assert!(matches!(carrier, Carrier::Pack(_)), "nothing is held for its content");
            found += usize::from(*code == CODE_MISPLACED);
        }
    }
    assert!(found > 0, "what was misplaced is told");
}

#[test]
fn entry_in_a_pack_of_another_logbook_touches_no_record_that_lives_elsewhere() {
    let mut world = World::new(81);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    let mut witness = world.enrol("P03", GrantRole::Technician);
    let doc = world.file(&mut tablet_a, "原来的内容");
    world.meet(&mut tablet_a);
    world.meet(&mut witness);
    let copy = AuthoredChange { change: root_of(&tablet_a, &doc) };
    let later = foreign_edit(&mut world, &thief, &tablet_a, &doc);
    misplace(&mut thief, doc, vec![copy, later]);
    world.meet(&mut thief);
    assert_untouched(&world, &doc, "原来的内容");
    assert_held_as_carrier_only(&world);
    world.meet(&mut witness);
    world.meet(&mut tablet_a);
    let shown = witness.replica.record_row(&doc).unwrap().expect("the witness still shows it");
    assert_eq!(shown.view.fields.len(), 2);
    world.edit(&mut tablet_a, doc, "content", "作者改过");
    world.meet(&mut tablet_a);
    assert_untouched(&world, &doc, "作者改过");
    world.meet(&mut witness);
    assert_same_states(&[world.core.replica(), &witness.replica]);
    world.restart().unwrap();
    assert_untouched(&world, &doc, "作者改过");
    assert_same_states(&[world.core.replica(), &witness.replica]);
}

#[test]
fn entry_that_comes_before_the_records_root_gives_way_to_it() {
    let mut world = World::new(82);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    let mut witness = world.enrol("P03", GrantRole::Technician);
    let doc = world.file(&mut tablet_a, "原来的内容");
    world.edit(&mut tablet_a, doc, "advice", "作者的建议");
    let honest: Vec<AuthoredChange> = tablet_a
        .replica
        .document(&doc)
        .unwrap()
        .unwrap()
        .changes()
        .skip(1)
        .map(|change| AuthoredChange { change: change.clone() })
        .collect();
    let later = foreign_edit(&mut world, &thief, &tablet_a, &doc);
    misplace(&mut thief, doc, [honest, vec![later]].concat());
    world.meet(&mut thief);
    assert!(world.core.replica().record_row(&doc).unwrap().is_none());
    world.meet(&mut witness);
    world.meet(&mut tablet_a);
    assert_untouched(&world, &doc, "原来的内容");
    let row = world.core.replica().record_row(&doc).unwrap().unwrap();
    assert_eq!(row.view.fields["advice"], qianmo_protocol::change::Scalar::Text("作者的建议".to_owned()));
    world.meet(&mut witness);
    assert_same_states(&[world.core.replica(), &witness.replica]);
    world.restart().unwrap();
    assert_untouched(&world, &doc, "原来的内容");
    assert_same_states(&[world.core.replica(), &witness.replica]);
}
