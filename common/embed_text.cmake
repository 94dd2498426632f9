# The text of FILE as C++ string literals in OUT: in pieces, because a literal may hold 64 KiB in every compiler. By length and
# not by list functions, which semicolons in the text would split.
function(embed_text FILE OUT)
  file(READ ${FILE} text)
  string(LENGTH "${text}" length)
  set(at 0)
  set(literal "")
  while(at LESS length)
    string(SUBSTRING "${text}" ${at} 8000 piece)
    string(APPEND literal "\n     R\"~~text~~(${piece})~~text~~\"")
    math(EXPR at "${at} + 8000")
  endwhile()
  set(${OUT} "${literal}" PARENT_SCOPE)
endfunction()
