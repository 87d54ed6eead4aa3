//! Which names an expression uses: that they are known, and that a client cannot make it long to evaluate. It works on
//! the expression as it was written, before macros are expanded.

use cel::{
    IdedExpr, Program, Value,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SourceInfo, operators},
};
use ipnet::IpNet;

use super::{
    ExpressionError,
    variables::{FUNCTIONS, ROOTS, VARIABLES},
};

/// How deep an expression may be nested: evaluation is recursive.
const DEEPEST: usize = 64;

/// Macros with a name and a condition.
const COMPREHENSIONS: &[&str] = &["all", "exists", "exists_one", "filter"];

/// Checks the names in `written`, which was compiled without macros. Returns whether it looks at the statement.
pub fn check(written: &Program) -> Result<bool, ExpressionError> {
    let info = written.source_info();
    let mut walk = Walk { info, bound: Vec::new(), loops: 0, depth: 0, reads_sql: false };
    walk.visit(written.expression())?;
    Ok(walk.reads_sql)
}

/// Where in the source `node` is, as line and column: its beginning, or the operator that it is.
pub fn place(info: &SourceInfo, node: &IdedExpr) -> (usize, usize) {
    let mut first = node;
    // Of `a.b`, the parser notes where the dot is.
    while let Expr::Select(select) = &first.expr {
        first = &select.operand;
    }
    let id = first.id;
    let offset = info.offset_for(id).map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
    // Offsets are in bytes, and people count characters.
    let end = (0..=offset.min(info.source.len())).rev().find(|at| info.source.is_char_boundary(*at));
    let before = &info.source[..end.unwrap_or(0)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    (line, column)
}

struct Walk<'a> {
    info: &'a SourceInfo,
    /// Names that a comprehension around binds.
    bound: Vec<&'a str>,
    /// Comprehensions around whose length a client decides.
    loops: usize,
    depth: usize,
    reads_sql: bool,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, node: &'a IdedExpr) -> Result<(), ExpressionError> {
        if self.depth == DEEPEST {
            return Err(self.fault(node, format!("it is nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        let visited = self.visit_kind(node);
        self.depth -= 1;
        visited
    }

    fn visit_kind(&mut self, node: &'a IdedExpr) -> Result<(), ExpressionError> {
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(node, name),
            Expr::Select(select) => match root(&select.operand, &self.bound) {
                Some(root) => self.field(node, root, &select.field),
                None => self.visit(&select.operand),
            },
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => self.visit(&entry.key).and_then(|()| self.visit(&entry.value)),
                EntryExpr::StructField(field) => self.visit(&field.value),
            }),
            Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.fault(node, "objects have no use in a rule".to_owned()))
            }
        }
    }

    fn name(&self, node: &IdedExpr, name: &str) -> Result<(), ExpressionError> {
        if self.bound.contains(&name) {
            return Ok(());
        }
        Err(self.fault(
            node,
            if ROOTS.contains(&name) {
                format!("{name} alone says nothing; write one of {}", fields(name))
            } else {
                format!("there is no {name:?}; the variables are {}", ROOTS.join(", "))
            },
        ))
    }

    fn field(&mut self, node: &IdedExpr, root: &str, field: &str) -> Result<(), ExpressionError> {
        let Some(variable) = VARIABLES.iter().find(|known| known.root == root && known.field == field) else {
            return Err(self.fault(node, format!("there is no {root}.{field}; there is {}", fields(root))));
        };
        self.reads_sql |= variable.sql;
        Ok(())
    }

    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Result<(), ExpressionError> {
        let name = call.func_name.as_str();
        if COMPREHENSIONS.contains(&name) {
            return self.comprehension(node, call);
        }
        let operator = name.starts_with(['_', '@', '!', '-']);
        if operator && name == operators::INDEX {
            self.index(node, call)?;
        }
        if !operator && name != operators::HAS && !FUNCTIONS.contains(&name) {
            let mend = match name {
                operators::MAP => "; a rule only asks: write exists or filter".to_owned(),
                _ => format!("; the functions are {}, has, {}", FUNCTIONS.join(", "), COMPREHENSIONS.join(", ")),
            };
            return Err(self.fault(node, format!("there is no function {name:?}{mend}")));
        }
        self.literals(node, call)?;
        call.target.iter().try_for_each(|target| self.visit(target))?;
        call.args.iter().try_for_each(|argument| self.visit(argument))
    }

    /// `query["source"]` would hide which field is meant.
    fn index(&self, node: &IdedExpr, call: &CallExpr) -> Result<(), ExpressionError> {
        match call.args.first().and_then(|operand| root(operand, &self.bound)) {
            Some(root) => Err(self.fault(node, format!("{root} has fields: write one of {}", fields(root)))),
            None => Ok(()),
        }
    }

    fn comprehension(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Result<(), ExpressionError> {
        let name = &call.func_name;
        let (Some(range), [variable, condition]) = (&call.target, call.args.as_slice()) else {
            return Err(self.fault(node, format!("{name} is written list.{name}(x, condition of x)")));
        };
        let Expr::Ident(variable_name) = &variable.expr else {
            return Err(self.fault(variable, format!("{name} needs a name for each element, such as x")));
        };
        if ROOTS.contains(&variable_name.as_str()) {
            return Err(self.fault(variable, format!("{variable_name} is a variable already; choose another name")));
        }
        self.visit(range)?;
        // As long as the rule itself says, or as a client says: the latter must not multiply.
        let long = usize::from(!matches!(range.expr, Expr::List(_)));
        if self.loops + long > 1 {
            let message =
                format!("of {name} within another, one of the two lists must be written out, as [\"a\", \"b\"]");
            return Err(self.fault(node, message));
        }
        self.loops += long;
        self.bound.push(variable_name);
        let visited = self.visit(condition);
        self.bound.pop();
        self.loops -= long;
        visited
    }

    /// Literals that are only read when they are used: a typing error in them shall not wait for that.
    fn literals(&self, node: &IdedExpr, call: &CallExpr) -> Result<(), ExpressionError> {
        let literal = call.args.last().and_then(|argument| match &argument.expr {
            Expr::Literal(LiteralValue::String(text)) => Some((argument, text.inner())),
            _ => None,
        });
        let Some((argument, text)) = literal else { return Ok(()) };
        let fault = match call.func_name.as_str() {
            "matches" if !evaluates(node, call, "") => "is no regular expression (syntax of Rust's regex crate)",
            "timestamp" if !evaluates(node, call, "") => "is no time such as 2026-01-31T12:00:00Z",
            "duration" if !evaluates(node, call, "") => "is no duration such as 90s, 10m or 1h30m",
            "inNetwork" if text.parse::<IpNet>().is_err() => "is no network such as 10.0.0.0/8",
            name if name.starts_with("get") && !evaluates(node, call, "2026-01-31T12:00:00Z") => {
                "is no time zone such as Europe/Berlin"
            }
            _ => return Ok(()),
        };
        Err(self.fault(argument, format!("{text:?} {fault}")))
    }

    fn fault(&self, node: &IdedExpr, message: String) -> ExpressionError {
        let (line, column) = place(self.info, node);
        ExpressionError { line, column, message }
    }
}

/// Whether the call works with its literal and, as its target, with `sample`.
fn evaluates(node: &IdedExpr, call: &CallExpr, sample: &str) -> bool {
    let text = IdedExpr { id: node.id, expr: Expr::Literal(LiteralValue::String(sample.to_owned().into())) };
    let time = CallExpr { func_name: "timestamp".to_owned(), target: None, args: vec![text.clone()] };
    let target = match (&call.target, call.func_name.starts_with("get")) {
        (None, _) => None,
        (Some(_), false) => Some(text),
        (Some(_), true) => Some(IdedExpr { id: node.id, expr: Expr::Call(time) }),
    };
    let mut call = call.clone();
    if call.target.is_none() && call.args.len() == 2 {
        call.args[0] = IdedExpr { id: node.id, expr: Expr::Literal(LiteralValue::String(sample.to_owned().into())) };
    }
    call.target = target.map(Box::new);
    let context = cel::Context::with_env(super::variables::environment());
    Value::resolve(&IdedExpr { id: node.id, expr: Expr::Call(call) }, &context).is_ok()
}

/// The variable that `node` is, unless a comprehension around binds its name.
fn root<'a>(node: &'a IdedExpr, bound: &[&str]) -> Option<&'a str> {
    match &node.expr {
        Expr::Ident(name) if ROOTS.contains(&name.as_str()) && !bound.contains(&name.as_str()) => Some(name),
        _ => None,
    }
}

fn fields(root: &str) -> String {
    let of_root = VARIABLES.iter().filter(|variable| variable.root == root);
    of_root.map(|variable| format!("{root}.{}", variable.field)).collect::<Vec<_>>().join(", ")
}
