//! What is typed for Chinese words on a keyboard without them: whole readings, or their first letters.

use pinyin::ToPinyin as _;

/// Whether a word has what was typed in it: as it stands, as pinyin, or as the first letters of its characters.
pub(super) fn has(word: &str, typed: &str) -> bool {
    let typed = typed.trim().to_lowercase();
    if typed.is_empty() || word.to_lowercase().contains(&typed) {
        return true;
    }
    let is_latin = typed.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    if !is_latin {
        return false;
    }
    let typed: String = typed.split(' ').collect();
    let (mut whole, mut initials) = (String::new(), String::new());
    for (character, reading) in word.chars().zip(word.to_pinyin()) {
        match reading {
            Some(reading) => {
                whole.push_str(reading.plain());
                initials.push_str(reading.first_letter());
            }
            None if character.is_alphanumeric() => {
                whole.extend(character.to_lowercase());
                initials.extend(character.to_lowercase());
            }
            None => {}
        }
    }
    initials.contains(&typed) || whole.contains(&typed)
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn word_is_found_by_its_characters_its_pinyin_and_its_initials() {
        for typed in ["食心", "lxsxc", "lixiao", "sxc", "LXSXC", "li xiao", ""] {
            assert!(has("梨小食心虫", typed), "{typed}");
        }
        for typed in ["桃", "xyz", "虫心"] {
            assert!(!has("梨小食心虫", typed), "{typed}");
        }
        assert!(has("ST01 大桃基地", "st01dt"));
    }
}
