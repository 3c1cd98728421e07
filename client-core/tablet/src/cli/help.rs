//! `--help` in the person's language: the words of every command and argument are messages.
//!
//! Keys follow the grammar: `help-new` says what `new` does, `help-new-examples` shows it, `help-new-set` explains
//! `--set`; `help-any-json` serves every command that has no words of its own for `--json`. A test walks the grammar, so a
//! new argument without words fails the build's tests.

use clap::CommandFactory as _;

use super::Cli;
use crate::message::Messages;

/// The grammar with its words.
pub(crate) fn command(messages: Messages, columns: usize) -> clap::Command {
    let mut command = worded(Cli::command().term_width(columns), "help", messages);
    // Arguments of every command take their words where they are defined; clap carries them down.
    command.build();
    command
}

fn worded(command: clap::Command, key: &str, messages: Messages) -> clap::Command {
    let template = format!(
        "{{about-with-newline}}\n{} {{usage}}\n\n{{all-args}}{{after-help}}\n",
        messages.text("help-heading-usage")
    );
    let mut command = command
        .about(about(key, messages))
        .after_help(messages.text(&format!("{key}-examples")))
        .help_template(template)
        .subcommand_help_heading(messages.text("help-heading-commands"))
        .mut_args(|argument| {
            let heading = if argument.is_positional() { "help-heading-arguments" } else { "help-heading-options" };
            let words = argument_words(key, argument.get_id().as_str(), messages);
            argument.help(words).help_heading(messages.text(heading))
        });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let below = if key == "help" { format!("help-{name}") } else { format!("{key}-{name}") };
        command = command.mut_subcommand(&name, |sub| worded(sub, &below, messages));
    }
    command
}

fn about(key: &str, messages: Messages) -> String {
    if key == "help" { messages.text("help-about") } else { messages.text(key) }
}

/// The words of an argument: its own, or those it shares with other commands.
fn argument_words(key: &str, argument: &str, messages: Messages) -> String {
    let argument = argument.replace('_', "-");
    messages
        .find(&format!("{key}-{argument}"))
        .or_else(|| messages.find(&format!("help-any-{argument}")))
        .unwrap_or(argument)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use qianmo_forms::Lang;

    use super::*;

    /// Every key that the grammar asks for; an argument may use its own or the shared one.
    pub(crate) fn keys_of_grammar(messages: Messages) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        collect(&Cli::command(), "help", messages, &mut keys);
        keys
    }

    fn collect(command: &clap::Command, key: &str, messages: Messages, keys: &mut BTreeSet<String>) {
        keys.insert(if key == "help" { "help-about".to_owned() } else { key.to_owned() });
        keys.insert(format!("{key}-examples"));
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str().replace('_', "-");
            let own = format!("{key}-{name}");
            let found = messages.find(&own).is_some();
            keys.insert(if found { own } else { format!("help-any-{name}") });
        }
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            collect(sub, &if key == "help" { format!("help-{name}") } else { format!("{key}-{name}") }, messages, keys);
        }
    }

    fn pages(messages: Messages) -> Vec<(String, String)> {
        let mut root = command(messages, 100);
        let mut pages = vec![("qianmo".to_owned(), root.render_long_help().to_string())];
        for sub in root.get_subcommands_mut() {
            pages.push((sub.get_name().to_owned(), sub.render_long_help().to_string()));
        }
        pages
    }

    #[test]
    fn every_help_page_teaches_with_an_example_in_both_languages() {
        for lang in Lang::ALL {
            for (name, page) in pages(Messages::new(lang)) {
                let example = if name == "qianmo" { "  qianmo enroll".to_owned() } else { format!("  qianmo {name}") };
                assert!(page.contains(&example), "{lang} {name}\n{page}");
                assert!(!page.contains("Unknown localization"), "{lang} {name}\n{page}");
            }
        }
    }

    #[test]
    fn help_documents_every_exit_code() {
        for lang in Lang::ALL {
            let page = command(Messages::new(lang), 100).render_long_help().to_string();
            for exit in crate::exit::Exit::ALL {
                assert!(page.contains(&format!("  {}  ", exit.code())), "{lang} {exit:?}\n{page}");
            }
        }
    }
}
