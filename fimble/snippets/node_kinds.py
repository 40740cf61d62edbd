"""Names of syntax nodes that declare something, over all grammars: they name things alike."""


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


CONTAINERS = _kinds(
    """class_definition class_declaration abstract_class_declaration interface_declaration
    enum_declaration record_declaration struct_declaration struct_specifier class_specifier
    union_specifier enum_specifier  impl_item trait_item
    mod_item struct_item enum_item union_item object_declaration object_definition trait_definition
    enum_definition companion_object class module trait_declaration
    annotation_type_declaration"""
)
FUNCTIONS = _kinds(
    """function_definition function_declaration generator_function_declaration method_definition
    method_declaration constructor_declaration compact_constructor_declaration function_item method
    singleton_method secondary_constructor destructor_declaration operator_declaration
    local_function_statement"""
)
PLAIN = _kinds(
    """type_alias_declaration type_item const_item static_item function_signature_item
    field_declaration property_signature method_signature public_field_definition field_definition
    const_declaration var_declaration type_declaration declaration preproc_def
    preproc_function_def type_definition alias_declaration using_declaration macro_definition
    lexical_declaration variable_declaration property_declaration val_definition var_definition
    val_declaration abstract_method_signature enum_constant enum_variant enumerator enum_entry
    enum_member_declaration type_alias associated_type constant_declaration function_signature
    annotation_type_element_declaration delegate_declaration event_field_declaration
    given_definition extension_definition enum_assignment"""
)
INNER = _kinds(
    """block class_body declaration_list field_declaration_list interface_body object_type
    enum_body enum_body_declarations enumerator_list enum_variant_list template_body body_statement
    enum_class_body statement_block annotation_type_body enum_member_declaration_list
    function_body compound_statement constructor_body"""
)
WRAPPERS = _kinds(
    """export_statement decorated_definition template_declaration linkage_specification
    preproc_ifdef preproc_if preproc_else extern_block foreign_mod_item ambient_declaration
    enum_body_declarations file_scoped_namespace_declaration declaration_list"""
)
SCOPES = _kinds("namespace_definition namespace_declaration internal_module")
"""What gives names a longer name, and says nothing else."""
DATA = _kinds(
    """enum_declaration enum_specifier enum_item struct_item struct_specifier union_specifier
    interface_declaration enum_definition record_declaration type_declaration type_definition"""
)
"""Containers of names rather than of code, and what declares such types."""
ASSIGNMENTS = frozenset({"assignment", "assignment_statement", "assignment_expression"})
UNNAMED = _kinds(
    """lexical_declaration variable_declaration expression_statement const_declaration
    var_declaration type_declaration property_declaration variable_declaration_list"""
)
"""Their first child has the name."""
BETWEEN = frozenset({"attribute_item", "attribute_list", "decorator", "annotation"})
"""What may stand between a comment and what it is about."""
