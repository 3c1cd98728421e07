//! From tokens to a tree: recursive descent, one function per precedence, depth counted.

use super::{
    Arithmetic, Comparison, EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, ExpressionError, ExpressionErrorKind, Function,
    Node,
    lex::{self, Token, TokenKind},
};

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let kind = ExpressionErrorKind::TooLong { bytes: text.len(), max: EXPRESSION_BYTES_MAX };
        return Err(ExpressionError { offset: EXPRESSION_BYTES_MAX, kind });
    }
    let tokens = lex::tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, end: text.len() };
    let node = parser.expression()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |token| token.offset)
    }

    fn error(&self, kind: ExpressionErrorKind) -> ExpressionError {
        ExpressionError { offset: self.offset(), kind }
    }

    fn unexpected(&self, expected: &'static str) -> ExpressionError {
        self.error(match self.peek() {
            Some(token) => ExpressionErrorKind::Unexpected { found: token.shown(), expected },
            None => ExpressionErrorKind::UnexpectedEnd,
        })
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let found = self.peek() == Some(kind);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Word(found)) if found == word);
        self.at += usize::from(found);
        found
    }

    /// Runs one level deeper.
    fn deeper(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<Node, ExpressionError>,
    ) -> Result<Node, ExpressionError> {
        if self.depth >= EXPRESSION_DEPTH_MAX {
            return Err(self.error(ExpressionErrorKind::TooDeep { max: EXPRESSION_DEPTH_MAX }));
        }
        self.depth += 1;
        let node = parse(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn expression(&mut self) -> Result<Node, ExpressionError> {
        self.deeper(Self::or)
    }

    fn or(&mut self) -> Result<Node, ExpressionError> {
        let first = self.and()?;
        let mut all = vec![first];
        while self.take_word("or") {
            all.push(self.and()?);
        }
        Ok(single(all, Node::Or))
    }

    fn and(&mut self) -> Result<Node, ExpressionError> {
        let first = self.comparison()?;
        let mut all = vec![first];
        while self.take_word("and") {
            all.push(self.comparison()?);
        }
        Ok(single(all, Node::And))
    }

    fn comparison(&mut self) -> Result<Node, ExpressionError> {
        let left = self.sum()?;
        let Some(comparison) = self.take_comparison() else { return Ok(left) };
        let right = self.sum()?;
        if matches!(self.peek(), Some(TokenKind::Compare(_))) {
            return Err(self.error(ExpressionErrorKind::ChainedComparison));
        }
        Ok(Node::Compare { comparison, left: Box::new(left), right: Box::new(right) })
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let Some(TokenKind::Compare(comparison)) = self.peek() else { return None };
        let comparison = *comparison;
        self.at += 1;
        Some(comparison)
    }

    fn sum(&mut self) -> Result<Node, ExpressionError> {
        let first = self.product()?;
        let mut rest = Vec::new();
        loop {
            let operation = if self.take(&TokenKind::Plus) {
                Arithmetic::Add
            } else if self.take(&TokenKind::Minus) {
                Arithmetic::Subtract
            } else {
                return Ok(chain(first, rest));
            };
            rest.push((operation, self.product()?));
        }
    }

    fn product(&mut self) -> Result<Node, ExpressionError> {
        let first = self.unary()?;
        let mut rest = Vec::new();
        loop {
            let operation = if self.take(&TokenKind::Star) {
                Arithmetic::Multiply
            } else if self.take_word("div") {
                Arithmetic::Divide
            } else if self.take_word("mod") {
                Arithmetic::Remainder
            } else {
                return Ok(chain(first, rest));
            };
            rest.push((operation, self.unary()?));
        }
    }

    fn unary(&mut self) -> Result<Node, ExpressionError> {
        if self.take(&TokenKind::Minus) {
            let inner = self.deeper(Self::unary)?;
            return Ok(Node::Negate(Box::new(inner)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, ExpressionError> {
        const EXPECTED: &str = "a value";
        let node = match self.peek() {
            Some(TokenKind::Number(number)) => Node::Number(*number),
            Some(TokenKind::Text(text)) => Node::Text(text.clone()),
            Some(TokenKind::Field(name)) => Node::Field(name.clone()),
            Some(TokenKind::This) => Node::This,
            Some(TokenKind::Open) => {
                self.at += 1;
                let inner = self.expression()?;
                return if self.take(&TokenKind::Close) { Ok(inner) } else { Err(self.unexpected("`)`")) };
            }
            Some(TokenKind::Word(word)) => {
                let word = word.clone();
                return self.call(&word);
            }
            Some(
                TokenKind::Close
                | TokenKind::Comma
                | TokenKind::Plus
                | TokenKind::Minus
                | TokenKind::Star
                | TokenKind::Compare(_),
            )
            | None => {
                return Err(self.unexpected(EXPECTED));
            }
        };
        self.at += 1;
        Ok(node)
    }

    fn call(&mut self, word: &str) -> Result<Node, ExpressionError> {
        if matches!(word, "and" | "or" | "div" | "mod") {
            return Err(self.unexpected("a value"));
        }
        let function =
            Function::named(word).ok_or_else(|| self.error(ExpressionErrorKind::UnknownFunction(word.to_owned())))?;
        let name_at = self.offset();
        self.at += 1;
        if !self.take(&TokenKind::Open) {
            return Err(self.unexpected("`(`"));
        }
        let mut arguments = Vec::new();
        if !self.take(&TokenKind::Close) {
            loop {
                arguments.push(self.expression()?);
                if self.take(&TokenKind::Close) {
                    break;
                }
                if !self.take(&TokenKind::Comma) {
                    return Err(self.unexpected("`,` or `)`"));
                }
            }
        }
        let (min, max) = function.arguments();
        let found = arguments.len();
        if found < min || found > max {
            let kind = ExpressionErrorKind::ArgumentCount { function: function.name(), min, max, found };
            return Err(ExpressionError { offset: name_at, kind });
        }
        Ok(Node::Call { function, arguments })
    }
}

/// The only node there is, or all of them joined.
fn single(mut all: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            join(all)
        }
        None => join(all),
    }
}

fn chain(first: Node, rest: Vec<(Arithmetic, Node)>) -> Node {
    if rest.is_empty() { first } else { Node::Chain { first: Box::new(first), rest } }
}
