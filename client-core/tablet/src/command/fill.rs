//! Asking a person through a form. Every answer is kept as a draft before the next question is asked.

use std::collections::BTreeMap;

use qianmo_client_core::{DraftId, DraftInput, FieldValue, Whoami};
use qianmo_forms::{Form, Values};

use crate::answers;
use crate::cli::Assignment;
use crate::clock;
use crate::dialogue::{Dialogue, Purpose, Start, Turn};
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::render::words::short;
use crate::work::Work;

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is answered, and the form accepts it.
    Complete,
    /// The person left; what was answered is a draft.
    Left,
}

/// What a conversation is about.
#[derive(Debug)]
pub(crate) struct About<'f> {
    pub(crate) form: &'f Form,
    pub(crate) purpose: Purpose,
    pub(crate) record: BTreeMap<String, FieldValue>,
    pub(crate) draft: BTreeMap<String, FieldValue>,
}

/// The draft that a conversation keeps.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) id: DraftId,
    pub(crate) input: DraftInput,
    /// Whether it is there already.
    pub(crate) is_saved: bool,
}

impl Work<'_, '_> {
    pub(crate) fn dialogue<'f>(&self, about: About<'f>, who: Option<&Whoami>) -> Dialogue<'f> {
        let today = clock::today(self.now_ms);
        let defaults = match about.purpose {
            Purpose::New => answers::defaults(about.form, today, who.and_then(|who| who.person.as_deref())),
            Purpose::Edit => Values::new(),
        };
        Dialogue::new(Start {
            form: about.form,
            messages: self.messages,
            columns: self.columns,
            today,
            record: about.record,
            draft: about.draft,
            defaults,
            persons: who.map(|who| who.persons.iter().map(|role| role.person.clone()).collect()).unwrap_or_default(),
            purpose: about.purpose,
        })
    }

    /// Asks until everything is answered or the person leaves.
    pub(crate) async fn converse(
        &mut self,
        dialogue: &mut Dialogue<'_>,
        keeping: &mut Keeping,
    ) -> Result<Outcome, Failure> {
        let hint = self.messages.text("ask-begin");
        self.terminal.note(&hint)?;
        let mut goes_on = false;
        loop {
            let question = if goes_on { Some("… ".to_owned()) } else { dialogue.question() };
            let Some(question) = question else {
                let Err(open) = dialogue.finish() else { return Ok(Outcome::Complete) };
                self.notes(&open.notes)?;
                if open.turn == Turn::Leave {
                    return Ok(Outcome::Left);
                }
                continue;
            };
            self.terminal.ask(&question)?;
            let Some(line) = self.terminal.answer()? else {
                self.terminal.note("")?;
                if goes_on {
                    dialogue.answer("");
                }
                self.keep(dialogue, keeping).await?;
                return Ok(Outcome::Left);
            };
            let reply = dialogue.answer(&line);
            self.notes(&reply.notes)?;
            goes_on = reply.turn == Turn::More;
            match reply.turn {
                Turn::Ask | Turn::More => {}
                Turn::Save => self.keep(dialogue, keeping).await?,
                Turn::Leave => {
                    self.keep(dialogue, keeping).await?;
                    return Ok(Outcome::Left);
                }
            }
        }
    }

    fn notes(&mut self, notes: &[String]) -> Result<(), Failure> {
        for note in notes {
            self.terminal.note(note)?;
        }
        Ok(())
    }

    /// Keeps what was answered; nothing answered is no draft.
    async fn keep(&mut self, dialogue: &Dialogue<'_>, keeping: &mut Keeping) -> Result<(), Failure> {
        let fields = dialogue.kept();
        if fields == keeping.input.fields || (fields.is_empty() && !keeping.is_saved) {
            return Ok(());
        }
        keeping.input.fields = fields;
        self.save(keeping).await
    }

    pub(crate) async fn save(&mut self, keeping: &mut Keeping) -> Result<(), Failure> {
        let saved = self.client.save_draft(keeping.id, keeping.input.clone()).await;
        saved.map_err(|error| failure::of_write(&error, self.messages))?;
        keeping.is_saved = true;
        Ok(())
    }

    /// Says where an unfinished form is, and how to go on.
    pub(crate) fn say_left(&mut self, keeping: &Keeping) -> Result<(), Failure> {
        let text = if keeping.is_saved {
            let id = keeping.id.to_string();
            self.messages.with("draft-kept", &[("draft", short(&id).to_owned().into())])
        } else {
            self.messages.text("draft-nothing")
        };
        Ok(self.terminal.note(&text)?)
    }

    /// The answers of `--set`, by path.
    pub(crate) fn assigned(
        &self,
        form: &Form,
        assignments: &[Assignment],
    ) -> Result<BTreeMap<String, FieldValue>, Failure> {
        let mut fields = BTreeMap::new();
        for assignment in assignments {
            let Some(path) = answers::path_of(form, &assignment.field) else {
                let arguments = [("field", assignment.field.as_str().into()), ("form", form.id().into())];
                let mut told = Told::new(Exit::Usage, self.messages.with("error-unknown-field", &arguments));
                told.details = near(form, &assignment.field, self.lang());
                return Err(told.next(self.messages.text("next-unknown-field")).into());
            };
            fields.insert(path, FieldValue::Text(assignment.value.clone()));
        }
        Ok(fields)
    }
}

/// Fields whose name or label has something of a word in it; all of them if none has.
fn near(form: &Form, said: &str, lang: qianmo_forms::Lang) -> Vec<String> {
    let said = said.to_lowercase();
    let name = |field: &qianmo_forms::Field| format!("{} {}", field.name, field.label.get(lang));
    let names: Vec<String> = form.fields().iter().map(name).collect();
    let close = |name: &&String| {
        let name = name.to_lowercase();
        name.contains(&said) || name.split([' ', '_']).any(|word| word.len() > 2 && said.contains(word))
    };
    let found: Vec<String> = names.iter().filter(close).cloned().collect();
    if found.is_empty() { names } else { found }
}
