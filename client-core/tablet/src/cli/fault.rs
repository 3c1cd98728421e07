//! What was wrong with a command line, in the person's language, with the way to its help.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use crate::message::Messages;

/// What to say about a command line that was not understood.
pub(crate) fn words(error: &Error, messages: Messages) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    let value = context(error, ContextKind::InvalidValue);
    let what = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let command = context(error, ContextKind::InvalidSubcommand);
            messages.with("usage-unknown-command", &[("command", command.into())])
        }
        ErrorKind::UnknownArgument => messages.with("usage-unknown-argument", &[("argument", argument.into())]),
        ErrorKind::InvalidValue if value.is_empty() => {
            messages.with("usage-missing-value", &[("argument", argument.into())])
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            messages.with("usage-wrong-value", &[("argument", argument.into()), ("value", value.into())])
        }
        ErrorKind::ArgumentConflict => {
            let other = context(error, ContextKind::PriorArg);
            messages.with("usage-conflict", &[("argument", argument.into()), ("other", other.into())])
        }
        ErrorKind::MissingRequiredArgument => messages.with("usage-missing-argument", &[("argument", argument.into())]),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            messages.text("usage-missing-command")
        }
        // Kinds this grammar does not give rise to, and those of later versions: clap's own words.
        ErrorKind::NoEquals
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::InvalidUtf8
        | ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::Io
        | ErrorKind::Format
        | _ => error.kind().to_string(),
    };
    let suggestions = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let suggested = suggestions.into_iter().map(|kind| context(error, kind)).find(|text| !text.is_empty());
    match (suggested, context(error, ContextKind::ValidValue)) {
        (Some(suggested), _) => {
            format!("{what}\n  {}", messages.with("usage-suggestion", &[("what", suggested.into())]))
        }
        (None, valid) if !valid.is_empty() => {
            format!("{what}\n  {}", messages.with("usage-values", &[("values", valid.into())]))
        }
        (None, _) => what,
    }
}

fn context(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        Some(ContextValue::StyledStrs(texts)) => {
            texts.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
        }
        Some(ContextValue::Number(number)) => number.to_string(),
        Some(ContextValue::Bool(answer)) => answer.to_string(),
        // The enum may grow; a context that cannot be shown is left out.
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use qianmo_forms::Lang;

    use super::*;
    use crate::cli::help;

    fn said(line: &str, lang: Lang) -> String {
        let messages = Messages::new(lang);
        let error = help::command(messages, 100).try_get_matches_from(line.split(' ')).unwrap_err();
        words(&error, messages)
    }

    #[test]
    fn mistakes_are_named_in_chinese_with_a_suggestion() {
        assert_eq!(said("qianmo shwo 1a2b", Lang::Zh), "没有“shwo”这个命令\n  您是不是想用：show");
        assert_eq!(said("qianmo list --stat held", Lang::Zh), "没有“--stat”这个选项\n  您是不是想用：--state");
        assert_eq!(said("qianmo list --month 6月", Lang::Zh), "“--month <YYYY-MM>”的值“6月”读不懂");
        assert_eq!(said("qianmo show", Lang::Zh), "缺少 <RECORD>");
    }

    #[test]
    fn mistakes_are_named_in_english_with_the_values_allowed() {
        let text = said("qianmo list --state gone", Lang::En);
        assert!(text.starts_with("“gone” is not a value of --state <STATE>\n  values: waiting, held"), "{text}");
        assert_eq!(said("qianmo", Lang::En), "say what to do");
    }
}
